/** The google.protobuf messages in use, as proto-loader returns them, and the kinds of RPC method. */

/** protobufjs defines this message itself and keeps snake case, whatever keepCase says. */
export interface Any {
  type_url: string;
  value: Buffer;
}

export type Empty = Record<never, never>;

export interface FieldMask {
  paths: string[];
}

export interface Timestamp {
  seconds: number;
  nanos: number;
}

export interface Unary<Request, Response> {
  readonly kind: 'unary';
  readonly request: Request;
  readonly response: Response;
}

export interface ServerStream<Request, Response> {
  readonly kind: 'server-stream';
  readonly request: Request;
  readonly response: Response;
}

/** A request with optional fields: absent ones take protobuf's defaults. */
export type Partially<T> = T extends Buffer | string | number | boolean | null
  ? T
  : T extends readonly (infer Item)[]
    ? Partially<Item>[]
    : { [Key in keyof T]?: Partially<T[Key]> | undefined };

export function dateOf(timestamp: Timestamp | null): Date | undefined {
  return timestamp === null ? undefined : new Date(timestamp.seconds * 1000 + timestamp.nanos / 1e6);
}

export function timestampOf(epochMs: number): Timestamp {
  const seconds = Math.floor(epochMs / 1000);
  return { seconds, nanos: Math.round((epochMs - seconds * 1000) * 1e6) };
}
