/**
 * How many bytes the TOCs of an image's layers have: what the first request for a layer is to fetch. The converter writes the
 * list, for a layer and those above it, into an annotation of the layer's descriptor; containerd passes it on as a snapshot
 * label. Without it, a TOC larger than a guess takes a second request. The value is decimal numbers with commas between.
 */

/** containerd refuses labels whose key and value are longer together (labels.Validate). */
const maxLabelBytes = 4096;

/** For the label `name`. `sizes` is cut where it does not fit. */
export function encodeSizes(name: string, sizes: readonly number[]): string {
  let text = '';
  for (const size of sizes) {
    const longer = text === '' ? String(size) : `${text},${size}`;
    if (name.length + longer.length > maxLabelBytes) break;
    text = longer;
  }
  return text;
}

/** Undefined if malformed: it is no more than a hint. */
export function parseSizes(text: string): readonly number[] | undefined {
  return /^\d{1,15}(,\d{1,15})*$/.test(text) ? text.split(',').map(Number) : undefined;
}
