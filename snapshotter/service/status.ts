import { type Metadata, status } from '@grpc/grpc-js';
import { describeError } from '../platform/log.ts';
import { SnapshotError, type SnapshotErrorCode } from '../snapshots/error.ts';

export interface Status {
  readonly code: status;
  readonly details: string;
  readonly metadata?: Metadata;
}

/** An invalid request: INVALID_ARGUMENT. */
export class RequestError extends Error {
  override readonly name = 'RequestError';
}

const snapshotCodes: Readonly<Record<SnapshotErrorCode, status>> = {
  'not-found': status.NOT_FOUND,
  'already-exists': status.ALREADY_EXISTS,
  'failed-precondition': status.FAILED_PRECONDITION,
  'invalid-argument': status.INVALID_ARGUMENT,
  unavailable: status.UNAVAILABLE,
};

/** The only place that converts errors to gRPC statuses. */
export function toStatus(error: unknown): Status {
  return { code: codeOf(error), details: describeError(error) };
}

function codeOf(error: unknown): status {
  if (error instanceof SnapshotError) return snapshotCodes[error.code];
  if (error instanceof RequestError) return status.INVALID_ARGUMENT;
  const name = error instanceof Error ? error.name : '';
  if (name === 'AbortError') return status.CANCELLED;
  if (name === 'TimeoutError') return status.DEADLINE_EXCEEDED;
  if ((error as NodeJS.ErrnoException)?.code === 'ENOSPC') return status.RESOURCE_EXHAUSTED;
  return status.INTERNAL;
}
