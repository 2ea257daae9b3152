// The snapshotter of containerd/stargz-snapshotter v0.12.0 as a daemon: the flags and the config.toml of its
// containerd-stargz-grpc. Debian's package of that version carries no daemon, and upstream's command cannot be
// installed as a Go module; the library that both are built from can.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/contrib/snapshotservice"
	"github.com/containerd/stargz-snapshotter/service"
	"github.com/containerd/stargz-snapshotter/service/keychain/dockerconfig"
	"github.com/pelletier/go-toml"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
)

func main() {
	address := flag.String("address", "", "socket to serve")
	root := flag.String("root", "", "state")
	configPath := flag.String("config", "", "config.toml")
	level := flag.String("log-level", "info", "of logrus")
	version := flag.Bool("version", false, "print the version")
	flag.Parse()
	if *version {
		fmt.Println("stargz-snapshotter v0.12.0 (library)")
		return
	}
	if err := run(*address, *root, *configPath, *level); err != nil {
		log.Fatal(err)
	}
}

func run(address, root, configPath, level string) error {
	parsed, err := logrus.ParseLevel(level)
	if err != nil {
		return err
	}
	logrus.SetLevel(parsed)
	var config service.Config
	tree, err := toml.LoadFile(configPath)
	if err != nil {
		return fmt.Errorf("read %s: %w", configPath, err)
	}
	if err := tree.Unmarshal(&config); err != nil {
		return fmt.Errorf("read %s: %w", configPath, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	credentials := service.WithCredsFuncs(dockerconfig.NewDockerconfigKeychain(ctx))
	snapshotter, err := service.NewStargzSnapshotterService(ctx, root, &config, credentials)
	if err != nil {
		return fmt.Errorf("start the snapshotter: %w", err)
	}
	listener, err := net.Listen("unix", address)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	snapshotsapi.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(snapshotter))
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	// Unmounts what it mounted.
	if closeErr := snapshotter.Close(); err == nil {
		err = closeErr
	}
	return err
}
