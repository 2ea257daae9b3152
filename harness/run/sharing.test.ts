import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ImageRecipe, Workload } from '../../workloads/workload.ts';
import { sharingWorkload } from './sharing.ts';

const recipe = (name: string, parent?: ImageRecipe): ImageRecipe => ({ name, directory: '', parent });
const workload = (image: ImageRecipe): Workload => ({
  ...{ name: image.name, title: '', image, command: undefined, env: [], stdin: undefined },
  ...{ ready: { kind: 'exit', stdout: '' }, timeoutMs: 1 },
});

test('the workload that shares the most layers runs before, the first of equals, and never one of the same image', () => {
  const debian = recipe('debian');
  const tools = recipe('tools', debian);
  const [python, gcc, tomcat, alone] = [
    recipe('python', tools),
    recipe('gcc', tools),
    recipe('tomcat', debian),
    recipe('alone'),
  ].map(workload);
  const all = [python!, { ...python!, name: 'numpy' }, tomcat!, gcc!, alone!];
  assert.equal(sharingWorkload(python!, all)?.name, 'gcc');
  assert.equal(sharingWorkload(tomcat!, all)?.name, 'python');
  assert.equal(sharingWorkload(alone!, all), undefined);
  const fromScratch = workload({ ...recipe('busybox', debian), isStandalone: true });
  assert.equal(sharingWorkload(fromScratch, all), undefined);
});
