/** Memory is charged to an account before it is allocated. */
export interface MemoryAccount {
  /** Throws FormatError 'limit' over the account's limit. */
  take(sizeBytes: number): void;
  give(sizeBytes: number): void;
}

export const unlimitedMemory: MemoryAccount = { take() {}, give() {} };

/** Working memory of a build. */
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
