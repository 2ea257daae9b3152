import { statfs } from 'node:fs/promises';
import { formatMegabytes } from '../../../measurements/format.ts';
import { registrySource, registryTarget } from '../../../snapshotter/images/registry-image.ts';
import { RegistryClient } from '../../../snapshotter/registry/client.ts';
import { parseReference } from '../../../snapshotter/registry/reference.ts';
import type { Workload } from '../../../workloads/workload.ts';
import { openOrigin } from '../../assembly/images.ts';
import { ensureWorkloadImages, openTestbed } from '../../assembly/testbed.ts';
import { nearestDirectory } from '../../host/preflight.ts';
import { HarnessError } from '../../cli/error.ts';
import { say } from '../../cli/program.ts';
import { copyImage } from '../../images/copy.ts';
import { nameImages, profilesOf } from '../../images/ensure.ts';
import { explainCopy, originalImage, type RemoteOrigin } from '../../images/origin.ts';
import { describePlan, type ImagesPlan, neededBytes, planNamed } from '../../images/plan.ts';
import { formatOrigin, publishedImage } from '../../images/published.ts';
import { type ImageName, type Variant, withNeeded } from '../../images/variants.ts';
import { openAccess, type RegistryAccess } from '../../registry/access.ts';
import { describeAllowance, requireAllowance } from '../../registry/allowance.ts';
import type { RemoteRegistry } from '../../registry/remote.ts';
import type { ImagesOptions } from './options.ts';

/** Says beforehand what it takes; what is there is left alone, so an interrupted preparation goes on where it stopped. */
export async function prepareImages(options: ImagesOptions, signal: AbortSignal): Promise<boolean> {
  const { images, stateDir, dryRun } = options;
  await using stack = new AsyncDisposableStack();
  const { remote } = images;
  const publisher = remote === undefined ? undefined : { remote, access: stack.use(openAccess(images.hostsDirectory)) };
  const wanted = await findWanted(options, publisher, signal);
  if (wanted.length === 0) {
    say(`all images are there, in ${remote?.name}`);
    return true;
  }
  const from = openOrigin(images, stack);
  if (from !== undefined) await checkOrigin(from, wanted, signal);
  const plan = await planWanted(wanted, options);
  if (publisher === undefined && plan.missingOriginals + plan.missingConversions === 0) {
    say('all images are there, in the embedded registry');
    return true;
  }
  const free = await freeBytes(stateDir);
  say(
    `${describePlan(plan, from === undefined ? 'build' : 'copy')}: takes about ${gigabytes(plan.neededBytes)}, ${gigabytes(free)} are free`,
  );
  if (dryRun) return true;
  if (publisher !== undefined) {
    const { profile, variants } = wanted[0]!;
    const image = publishedImage(publisher.remote, profile, variants[0]!, images.tags);
    await publisher.access.requirePush(image, signal);
  }
  const { registryAddress } = stack.use(await openTestbed({ stateDir, freeBytes: plan.neededBytes }, signal));
  const client = new RegistryClient();
  stack.defer(() => client.close());
  const failed: string[] = [];
  for (const { profile, variants } of wanted) {
    const request = { stateDir, registryAddress, variants, from, onStep: sayChanges() };
    try {
      const set = (await ensureWorkloadImages([profile], request, signal)).get(profile.image.name)!;
      for (const variant of variants) {
        const name = set[variant]!;
        if (publisher === undefined) say(`${name} is there`);
        else await publish(publisher, { options, profile, variant, name, registryAddress, client }, signal);
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!isOfOneImage(error)) throw error;
      failed.push(profile.image.name);
      say(`${profile.image.name}: FAILED: ${error.message}`);
    }
  }
  if (failed.length > 0) say(`${failed.length} of ${wanted.length} failed: ${failed.join(', ')}`);
  return failed.length === 0;
}

/** A failure that says nothing of the other images. */
function isOfOneImage(error: unknown): error is HarnessError {
  const codes = ['image-build', 'image-convert', 'unsupported-image'];
  return error instanceof HarnessError && codes.includes(error.code);
}

/** An image of which something is missing. */
interface WantedImage {
  readonly profile: Workload;
  readonly variants: readonly Variant[];
}

interface Publisher {
  readonly remote: RemoteRegistry;
  readonly access: RegistryAccess;
}

/** Of the embedded registry all images: what is missing of them is known where they are made. */
async function findWanted(
  { workloads, variants, images, replace }: ImagesOptions,
  publisher: Publisher | undefined,
  signal: AbortSignal,
): Promise<readonly WantedImage[]> {
  const profiles = profilesOf(workloads);
  if (publisher === undefined) return profiles.map((profile) => ({ profile, variants }));
  const { remote, access } = publisher;
  const wanted: WantedImage[] = [];
  let isFirst = true;
  for (const profile of profiles) {
    const missing: Variant[] = [];
    for (const variant of variants) {
      const image = publishedImage(remote, profile, variant, images.tags);
      const head = await access.look(image, signal, { refusedIsAbsent: true });
      if (isFirst && head?.rateLimit !== undefined) say(describeAllowance(remote.registry, head.rateLimit));
      isFirst = false;
      if (head === undefined || replace) missing.push(variant);
      else say(`${image} is there`);
    }
    if (missing.length > 0) wanted.push({ profile, variants: missing });
  }
  return wanted;
}

/** Credentials and the limit, before anything is made. */
async function checkOrigin(from: RemoteOrigin, wanted: readonly WantedImage[], signal: AbortSignal): Promise<void> {
  // The first that has one; what has none fails where it is made.
  const image = wanted.map(({ profile }) => tryName(from, profile)).find((name) => name !== undefined);
  if (image === undefined) return;
  const head = await from.access.look(image, signal);
  if (head?.rateLimit === undefined) return;
  const { registry } = parseReference(image);
  // An index and a manifest for each. A preparation that is cut short goes on later, so one image is enough to begin.
  const needed = 2 * wanted.length;
  say(`${describeAllowance(registry, head.rateLimit)}; copying from it takes up to ${needed}`);
  requireAllowance(registry, head.rateLimit, 2);
}

function tryName(from: RemoteOrigin, profile: Workload): string | undefined {
  try {
    return originalImage(from, profile);
  } catch (error) {
    if (isOfOneImage(error)) return undefined;
    throw error;
  }
}

async function planWanted(wanted: readonly WantedImage[], { images, stateDir }: ImagesOptions): Promise<ImagesPlan> {
  if (images.origin.kind !== 'debian') {
    const missingConversions = wanted.reduce((sum, { variants }) => sum + withNeeded(variants).length - 1, 0);
    const missingOriginals = wanted.length;
    return { missingOriginals, missingConversions, neededBytes: neededBytes(missingOriginals, missingConversions) };
  }
  let total: ImagesPlan = { missingOriginals: 0, missingConversions: 0, neededBytes: 0 };
  for (const { profile, variants } of wanted) {
    const plan = await planNamed(await nameImages([profile], stateDir), variants, stateDir);
    const missingOriginals = total.missingOriginals + plan.missingOriginals;
    const missingConversions = total.missingConversions + plan.missingConversions;
    total = { missingOriginals, missingConversions, neededBytes: neededBytes(missingOriginals, missingConversions) };
  }
  return total;
}

interface Publication {
  readonly options: ImagesOptions;
  readonly profile: Workload;
  readonly variant: Variant;
  /** In the embedded registry. */
  readonly name: ImageName;
  readonly registryAddress: string;
  readonly client: RegistryClient;
}

/** Of which recipe, converter and source an image was made, for whoever finds it in a registry. */
const provenance = 'vnd.stargz-bench.image';

async function publish(
  { remote, access }: Publisher,
  { options, profile, variant, name, registryAddress, client }: Publication,
  signal: AbortSignal,
): Promise<void> {
  const image = publishedImage(remote, profile, variant, options.images.tags);
  const source = registrySource(client, parseReference(`${registryAddress}/${name}`));
  const target = registryTarget(access.client, parseReference(image));
  const step = sayChanges();
  const onLayer = (index: number, count: number) => step(`push ${image}, layer ${index + 1} of ${count}`);
  const annotations = { [provenance]: `${name} (${formatOrigin(options.images.origin)})` };
  try {
    say(`${image} is pushed, ${await copyImage({ source, target, annotations, onLayer }, signal)}`);
  } catch (error) {
    signal.throwIfAborted();
    throw explainCopy(image, error);
  }
}

const stepIntervalMs = 5_000;

/** Prints what is begun, and its progress now and then. */
function sayChanges(): (step: string) => void {
  let lastHead = '';
  let lastMs = 0;
  return (step) => {
    const [head = ''] = step.split(',');
    if (head === lastHead && performance.now() - lastMs < stepIntervalMs) return;
    lastHead = head;
    lastMs = performance.now();
    say(step);
  };
}

async function freeBytes(stateDir: string): Promise<number> {
  const { bavail, bsize } = await statfs(await nearestDirectory(stateDir));
  return bavail * bsize;
}

function gigabytes(sizeBytes: number): string {
  return `${formatMegabytes(sizeBytes / 1000)} GB`;
}
