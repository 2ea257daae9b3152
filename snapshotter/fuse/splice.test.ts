import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { maxReadBytes } from './init.ts';
import { ReplySplicer } from './splice.ts';

const directory = mkdtempSync(join(tmpdir(), 'fuse-splice-'));
after(() => rmSync(directory, { recursive: true }));

const header = Buffer.from('0123456789abcdef and what is not of it');
const data = Buffer.alloc(600_000);
for (let at = 0; at < data.length; at++) data[at] = (at * 7 + (at >>> 8)) & 255;

/** A file stands in for the FUSE device: data can be spliced into both. */
function setUp(name: string, content: Buffer) {
  const [sentPath, dataPath] = [join(directory, `${name}-sent`), join(directory, name)];
  writeFileSync(dataPath, content);
  const [sentFd, dataFd] = [openSync(sentPath, 'w'), openSync(dataPath, 'r')];
  const splicer = new ReplySplicer(sentFd);
  return {
    splicer,
    dataFd,
    sent: () => readFileSync(sentPath),
    close: () => {
      splicer.close();
      for (const fd of [sentFd, dataFd]) closeSync(fd);
    },
  };
}

test('a reply is the header and the range of the data file', { timeout: 10_000 }, () => {
  const { splicer, dataFd, sent, close } = setUp('whole', data);
  try {
    assert.equal(splicer.send(header, dataFd, 524_288, 4096), true);
    assert.equal(splicer.send(header, dataFd, 70_001, 123), true, 'not on a page');
    const expected = [header.subarray(0, 16), data.subarray(4096, 528_384)];
    assert.ok(sent().equals(Buffer.concat([...expected, header.subarray(0, 16), data.subarray(123, 70_124)])));
  } finally {
    close();
  }
});

test('of a range beyond the end of the data file nothing is sent, now or with the next reply', {
  timeout: 10_000,
}, () => {
  const { splicer, dataFd, sent, close } = setUp('short', data.subarray(0, 100_000));
  try {
    assert.equal(splicer.send(header, dataFd, 100_000, 50_000), false);
    assert.equal(sent().length, 0);
    assert.equal(splicer.send(header, dataFd, 70_000, 0), true);
    assert.ok(sent().equals(Buffer.concat([header.subarray(0, 16), data.subarray(0, 70_000)])));
  } finally {
    close();
  }
});

test('a range larger than the pipe is declined before anything is moved', { timeout: 10_000 }, () => {
  const { splicer, dataFd, sent, close } = setUp('large', data);
  try {
    assert.equal(splicer.send(header, dataFd, 4 * maxReadBytes, 0), false);
    assert.equal(sent().length, 0);
  } finally {
    close();
  }
});
