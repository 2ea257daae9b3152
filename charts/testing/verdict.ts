/** As `bench --image` writes it into verdict.txt, of a made-up image. */
export const verdict = `Verdict on registry.example/<app>:1, 30 ms RTT, 200 Mbit/s

  estargz is the fastest: ready in 1.01 s, 9.9× as fast as legacy at 10.0 s.
  6 rounds: 95 % interval 9.1× to 11×, so it is more than chance.

  Until ready, estargz fetches 5.0 MB of 100 MB, 5.0 % of the image.
  Of legacy's start, 95 % is the pull.

  Where lazy pulling (estargz) pays, by a cautious model from this run:
    bandwidth   any                at 30 ms RTT
    round trip  below 220 ms       at 200 Mbit/s
    share read  below 78 %         at both; here it is 5.0 %

What to do next

  1. Convert the image with what this run recorded, into a registry:

     npm run convert -- registry.example/app:1 registry.example/app:1-esgz --format estargz --record-in results/bench/1/accesses-app.jsonl

  2. Run the snapshotter on the nodes (see snapshotter/deploy), with these lines
     in /etc/containerd/config.toml of containerd 2.x:

     [proxy_plugins.stargz]
       type = "snapshot"
       address = "/run/containerd-stargz-grpc/containerd-stargz-grpc.sock"
     [plugins."io.containerd.cri.v1.images"]
       snapshotter = "stargz"
`;
