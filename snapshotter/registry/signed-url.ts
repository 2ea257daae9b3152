/**
 * When a signed URL stops working, from its own query; undefined where it does not say. Read: AWS and Google
 * (`X-Amz-Date` + `X-Amz-Expires`), CloudFront, S3 v2 and others (`Expires`, `exp`: seconds since the epoch), Azure
 * (`se`: a date).
 */
export function expiryOf(url: URL): number | undefined {
  const query = new Map([...url.searchParams].map(([name, value]) => [name.toLowerCase(), value]));
  for (const vendor of ['x-amz', 'x-goog']) {
    const signedAtMs = parseBasicDate(query.get(`${vendor}-date`));
    const lifetimeSec = Number(query.get(`${vendor}-expires`) ?? Number.NaN);
    if (signedAtMs !== undefined && lifetimeSec > 0) return signedAtMs + lifetimeSec * 1000;
  }
  for (const name of ['expires', 'exp']) {
    const seconds = Number(query.get(name) ?? Number.NaN);
    if (Number.isFinite(seconds) && seconds > 0) return seconds * 1000;
  }
  const endMs = Date.parse(query.get('se') ?? '');
  return Number.isNaN(endMs) ? undefined : endMs;
}

/** `20260102T030405Z`. */
function parseBasicDate(text: string | undefined): number | undefined {
  const match = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/.exec(text ?? '');
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second] = match;
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
}
