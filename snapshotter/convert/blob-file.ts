import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { type Digest, digester } from '../registry/digest.ts';

/** Writes a blob and computes its size and digest; small writes are buffered. */
export class BlobFile {
  readonly path: string;
  #fd: number;
  #sizeBytes = 0;
  #digester = digester();
  #buffer: Buffer = Buffer.allocUnsafeSlow(1 << 20);
  #buffered = 0;

  /** The file must not exist. */
  constructor(path: string) {
    this.path = path;
    this.#fd = openSync(path, 'wx', 0o644);
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  append(bytes: Uint8Array): void {
    this.#sizeBytes += bytes.length;
    if (this.#buffered + bytes.length > this.#buffer.length) this.#flush();
    if (bytes.length > this.#buffer.length) {
      this.#write(bytes);
      return;
    }
    this.#buffer.set(bytes, this.#buffered);
    this.#buffered += bytes.length;
  }

  /** Closes the file and returns its digest. */
  finish(): Digest {
    this.#flush();
    closeSync(this.#fd);
    this.#fd = -1;
    return this.#digester.digest();
  }

  /** Removes the file unless `finish` was called. */
  discard(): void {
    if (this.#fd < 0) return;
    closeSync(this.#fd);
    this.#fd = -1;
    rmSync(this.path, { force: true });
  }

  #flush(): void {
    this.#write(this.#buffer.subarray(0, this.#buffered));
    this.#buffered = 0;
  }

  #write(bytes: Uint8Array): void {
    this.#digester.update(bytes);
    for (let done = 0; done < bytes.length; ) done += writeSync(this.#fd, bytes, done, bytes.length - done);
  }
}
