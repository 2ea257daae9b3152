/** Where memory is asked for before it is allocated. */
export interface MemoryAccount {
  /** Throws FormatError 'limit' if that is more than may be had. */
  take(sizeBytes: number): void;
  give(sizeBytes: number): void;
}

export const unlimitedMemory: MemoryAccount = { take() {}, give() {} };

/** What a build takes while it runs. */
export class WorkingMemory implements MemoryAccount {
  #usedBytes = 0;
  readonly #account: MemoryAccount;

  constructor(account: MemoryAccount) {
    this.#account = account;
  }

  take(sizeBytes: number): void {
    this.#account.take(sizeBytes);
    this.#usedBytes += sizeBytes;
  }

  give(sizeBytes: number): void {
    this.#account.give(sizeBytes);
    this.#usedBytes -= sizeBytes;
  }

  giveAll(): void {
    this.give(this.#usedBytes);
  }
}
