/** npm run inspect -- IMAGE --verify */
import { open, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { openClient, runCommand } from '../convert/command.ts';
import { type ImageLocation, parseLocation } from '../images/location.ts';
import { openSource } from '../images/open.ts';
import { type InspectArguments, inspectHelp, parseInspectArguments } from './arguments.ts';
import { type InspectedImage, type InspectOptions, inspectFile, inspectImage } from './image.ts';
import { formatReport, problemCount } from './report.ts';

const command = { name: 'inspect', help: inspectHelp, whenInterrupted: 'nothing was changed', run };
process.exitCode = await runCommand(command, process.argv.slice(2));

async function run(argv: readonly string[], signal: AbortSignal): Promise<number | undefined> {
  const parsed = parseInspectArguments(argv);
  if (parsed === undefined) return undefined;
  const image = await inspect(parsed, signal);
  const problems = problemCount(image);
  const document = { ...image, problems };
  process.stdout.write(parsed.json ? `${JSON.stringify(document, null, 2)}\n` : formatReport(image));
  return problems === 0 ? 0 : 1;
}

async function inspect(
  { image, platform, verify, plainHttp }: InspectArguments,
  signal: AbortSignal,
): Promise<InspectedImage> {
  const { stderr } = process;
  const onLayer = (index: number, count: number): void => {
    if (verify && stderr.isTTY) stderr.write(`\r\u001b[2Kchecking layer ${index + 1} of ${count}`);
  };
  const options: InspectOptions = { platform, verify, scratch: tmpdir(), onLayer, signal };
  try {
    const found = await locate(image);
    if (found.kind === 'layer')
      return await inspectFile({ path: image, offset: 0, sizeBytes: found.sizeBytes }, options);
    await using resources = new AsyncDisposableStack();
    const client = openClient([found], plainHttp);
    resources.defer(() => client.close());
    const source = await openSource(found, { client }, signal);
    resources.defer(() => source.close());
    return await inspectImage(source, options);
  } finally {
    if (verify && stderr.isTTY) stderr.write('\r\u001b[2K');
  }
}

/** Existing files, and what is written as a path, precede references. */
async function locate(text: string): Promise<ImageLocation | { readonly kind: 'layer'; readonly sizeBytes: number }> {
  const found = await stat(text).catch(() => undefined);
  if (found?.isFile() === true) {
    if (await isCompressed(text)) return { kind: 'layer', sizeBytes: found.size };
    return { kind: 'docker-archive', path: text };
  }
  if (!/^\.{0,2}\//.test(text)) return parseLocation(text);
  await stat(text);
  return { kind: 'oci', directory: text };
}

/** As layers that can be read lazily always are. */
async function isCompressed(path: string): Promise<boolean> {
  await using file = await open(path);
  const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0);
  return buffer.readUInt16BE(0) === 0x1f8b || [0xfd2fb528, 0x184d2a50].includes(buffer.readUInt32LE(0));
}
