/** A regular file's header. */
export function tarHeader(name: string, sizeBytes: number): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, 'latin1');
  block.write(`${sizeBytes.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
  block.write('        0', 148, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** To the end of the entry's last block, and the two zero blocks that end a tar. */
export function tarPadding(sizeBytes: number): Buffer {
  return Buffer.alloc(((512 - (sizeBytes % 512)) % 512) + 1024);
}
