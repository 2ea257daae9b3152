// Generated from proto/transfer.proto by generate.ts; do not edit.
import type { Any, Empty, Unary } from '../well-known.ts';

export interface Transfer {
  transfer: Unary<TransferRequest, Empty>;
}

export interface TransferRequest {
  source: Any | null;
  destination: Any | null;
  options: TransferOptions | null;
}

export interface TransferOptions {
  progressStream: string;
}
