/** CRC-32C (Castagnoli, reflected 0x82f63b78) without the final inversion, as EROFS stores it. Start with ~0. */
export function crc32c(crc: number, bytes: Uint8Array): number {
  let value = crc >>> 0;
  for (let at = 0; at < bytes.length; at++) value = table[(value ^ bytes[at]!) & 0xff]! ^ (value >>> 8);
  return value >>> 0;
}

const table = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = (value & 1) === 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});
