import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

let bundled: Promise<string> | undefined;

/**
 * The page's program with Vega and everything else it needs, as one classic script that may stand within HTML. It is made from the
 * same modules that draw the pictures, so page and pictures cannot differ.
 */
export function bundlePage(): Promise<string> {
  bundled ??= bundle();
  return bundled;
}

async function bundle(): Promise<string> {
  const result = await build({
    entryPoints: [fileURLToPath(new URL('page/main.ts', import.meta.url))],
    ...{ bundle: true, minify: true, write: false, format: 'iife', platform: 'browser', target: 'es2023' },
    ...{ legalComments: 'none', logLevel: 'silent', tsconfigRaw: {} },
  });
  // The one sequence that would end the element that holds it.
  return result.outputFiles[0]!.text.replaceAll('</script', '<\\/script');
}
