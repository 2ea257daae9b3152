import assert from 'node:assert/strict';
import { test } from 'node:test';
import { modes } from '../cell/modes/catalogue.ts';
import { convertCommand } from './advice.ts';

const mode = modes.find(({ name }) => name === 'estargz')!;

test('the image is converted beside its source, or into a registry under the name that the run gave it', () => {
  for (const [name, source, target] of [
    ['app', 'registry.example:5000/shop/app', 'registry.example:5000/shop/app:latest-esgz'],
    ['app', 'registry.example/shop/app:1', 'registry.example/shop/app:1-esgz'],
    ['app', 'docker-daemon:shop/app:1', 'REGISTRY/app:esgz'],
    ['app', 'oci:/srv/oci:app', 'REGISTRY/app:esgz'],
    ['web', 'docker-archive:/srv/image.tar', 'REGISTRY/web:esgz'],
  ] as const) {
    const command = convertCommand({ name: `imported/${name}`, source }, mode, 'accesses.jsonl');
    assert.equal(command, `npm run convert -- ${source} ${target} --format estargz --record-in accesses.jsonl`);
  }
});
