/** Payload of a TCP segment on Ethernet. */
export const segmentBytes = 1460;
/** RFC 6928. */
const initialWindowBytes = 10 * segmentBytes;
/** What CUBIC leaves of a window after a loss (RFC 9438). */
const reduction = 0.7;
/** Linux adds at least this to the round trip before it takes silence for loss, and a pause for idleness. */
const minTimeoutMs = 200;

/**
 * How much a TCP sender has under way: ten segments at first, as many more as were acknowledged while it was the window that limited it
 * (RFC 5681, slow start), a segment more each round trip after a loss, and less again after a pause (RFC 2861). Times are monotonic, in
 * milliseconds.
 */
export class CongestionWindow {
  readonly #rttMs: number;
  readonly #timeoutMs: number;
  #windowBytes = initialWindowBytes;
  /** Where slow start ends. */
  #thresholdBytes = Number.POSITIVE_INFINITY;
  #inFlightBytes = 0;
  #lastDepartureAt = Number.NEGATIVE_INFINITY;
  #openedAt = Number.NEGATIVE_INFINITY;
  /** When half of the window was last in flight. */
  #limitedAt = Number.NEGATIVE_INFINITY;
  /** Losses before it are of one window, which shrinks once. */
  #recoversAt = Number.NEGATIVE_INFINITY;
  readonly #acknowledgements: { readonly departedAt: number; readonly at: number; readonly bytes: number }[] = [];

  constructor(rttMs: number) {
    this.#rttMs = rttMs;
    this.#timeoutMs = rttMs + minTimeoutMs;
  }

  /** How many bytes may depart now; what is left of less than a segment counts as none. */
  roomBytes(now: number): number {
    this.#acknowledge(now);
    if (this.#inFlightBytes === 0) this.#restart(now);
    const room = this.#windowBytes - this.#inFlightBytes;
    return room < segmentBytes ? 0 : Math.floor(room);
  }

  /** When a full window last got room: what departs then does not wait for a late timer. */
  get openedAt(): number {
    return this.#openedAt;
  }

  /** These bytes departed then and reach the receiver, which acknowledges them at once. */
  depart(bytes: number, departedAt: number, arrivesAt: number): void {
    this.#inFlightBytes += bytes;
    this.#lastDepartureAt = departedAt;
    this.#acknowledgements.push({ departedAt, at: arrivesAt + this.#rttMs / 2, bytes });
    if (2 * this.#inFlightBytes > this.#windowBytes) this.#limitedAt = departedAt;
  }

  /** A segment that departed now is lost, which the sender learns a round trip later. */
  lose(now: number): void {
    if (now < this.#recoversAt) return;
    this.#recoversAt = now + this.#rttMs;
    this.#windowBytes = Math.max(2 * segmentBytes, this.#windowBytes * reduction);
    this.#thresholdBytes = this.#windowBytes;
  }

  /** When there may be more room; undefined if nothing is under way. */
  nextAcknowledgementAt(): number | undefined {
    return this.#acknowledgements[0]?.at;
  }

  #acknowledge(now: number): void {
    for (
      let [first] = this.#acknowledgements;
      first !== undefined && first.at <= now;
      [first] = this.#acknowledgements
    ) {
      this.#acknowledgements.shift();
      if (this.#windowBytes - this.#inFlightBytes < segmentBytes) this.#openedAt = first.at;
      // A sender that could not fill half of its window meanwhile learns nothing about the path.
      if (this.#limitedAt >= first.departedAt) this.#grow(first.bytes);
      this.#inFlightBytes -= first.bytes;
    }
  }

  #grow(bytes: number): void {
    if (this.#windowBytes < this.#thresholdBytes) this.#windowBytes += bytes;
    else this.#windowBytes += (segmentBytes * bytes) / this.#windowBytes;
  }

  #restart(now: number): void {
    const timeoutMs = this.#timeoutMs;
    for (let idleMs = now - this.#lastDepartureAt; idleMs > timeoutMs; idleMs -= timeoutMs) {
      if (this.#windowBytes <= initialWindowBytes) return;
      this.#thresholdBytes = Math.max(this.#thresholdBytes, 0.75 * this.#windowBytes);
      this.#windowBytes = Math.max(initialWindowBytes, this.#windowBytes / 2);
    }
  }
}
