/** What one ranged GET measured. */
export interface LinkSample {
  /** From sending the request to its first body byte. */
  readonly firstByteMs: number;
  /** From sending the request to its last body byte. */
  readonly totalMs: number;
  /** Body bytes of this request. */
  readonly sizeBytes: number;
  /** Body bytes of concurrent requests over the same link. */
  readonly otherBytes?: number;
}

export interface LinkEstimate {
  readonly rttMs: number;
  readonly bandwidthBytesPerMs: number;
  /** Bytes of all layers, added to by every fetch: one stream's rate is not the link's. */
  arrivedBytes: number;
  observe(sample: LinkSample): void;
  /** Bandwidth x RTT, the amount below which a request costs its latency anyway; between 64 KiB and 4 MiB. */
  windowBytes(): number;
}

const keptSamples = 16;
/** Below this a transfer time is mostly noise. */
const leastTimedBytes = 64 * 1024;
const leastTransferRtts = 0.2;
const leastWindowBytes = 64 * 1024;
const mostWindowBytes = 4 * 1024 * 1024;

/**
 * Minimum round trip and maximum bandwidth of the last samples, as in BBR (Cardwell et al. 2016): queues and CPU load only
 * make the first longer and the second lower. Starts at 20 ms and 100 Mbit/s.
 */
export function createLinkEstimate(): LinkEstimate {
  const rtts: number[] = [];
  const bandwidths: number[] = [];
  return {
    arrivedBytes: 0,
    get rttMs() {
      return rtts.length === 0 ? 20 : Math.min(...rtts);
    },
    get bandwidthBytesPerMs() {
      return bandwidths.length === 0 ? 12_500 : Math.max(...bandwidths);
    },
    observe({ firstByteMs, totalMs, sizeBytes, otherBytes = 0 }) {
      push(rtts, Math.max(firstByteMs, 0.05));
      if (sizeBytes < leastTimedBytes) return;
      const rttMs = Math.min(...rtts);
      // Not totalMs - firstByteMs: a busy event loop sees the first byte late and all others at once. A transfer that is
      // short beside the RTT is mostly its noise, so it counts as longer. Others' bytes came in the first RTT as well.
      const transferMs = Math.max(totalMs - rttMs, leastTransferRtts * rttMs, 0.2);
      push(bandwidths, Math.max(sizeBytes / transferMs, (sizeBytes + otherBytes) / Math.max(totalMs, rttMs)));
    },
    windowBytes() {
      const productBytes = this.rttMs * this.bandwidthBytesPerMs;
      return Math.min(Math.max(productBytes, leastWindowBytes), mostWindowBytes);
    },
  };
}

function push(samples: number[], sample: number): void {
  samples.push(sample);
  if (samples.length > keptSamples) samples.shift();
}

/** Size of prefetch and background requests, in link windows: fills the link, and demand does not wait long for it. */
const segmentWindows = 4;
const leastSegmentBytes = 1024 * 1024;

export function segmentBytesOf(link: Pick<LinkEstimate, 'windowBytes'>): number {
  return Math.max(segmentWindows * link.windowBytes(), leastSegmentBytes);
}
