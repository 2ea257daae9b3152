import { environmentSchema, type Environment } from '../../measurements/environment.ts';
import { parseSamples } from '../../measurements/sample.ts';
import { readRun } from '../run/run.ts';

export const header =
  'run_id,sample,order,workload,image,mode,pull_ms,create_ms,run_ms,total_ms,wire_bytes,wire_requests,ok,error,image_bytes,rtt_ms,bandwidth_mbps,started_at';

/** Two workloads. Of python's estargz one of three samples failed, of gcc's stargz all. */
export const csv = [
  header,
  'r1,1,1,python,p:1,legacy,9000,100,900,10000,310000000,9,true,,300000000,30,200,2026-01-02T03:04:05.000Z',
  'r1,2,2,python,p:1,legacy,7000,100,900,8000,310000000,9,true,,300000000,30,200,2026-01-02T03:04:05.000Z',
  'r1,3,3,python,p:1,legacy,11000,100,900,12000,310000000,9,true,,300000000,30,200,2026-01-02T03:04:05.000Z',
  'r1,1,4,python,p:2,estargz,500,100,400,1000,9000000,40,true,,300000000,30,200,2026-01-02T03:04:05.000Z',
  'r1,2,5,python,p:2,estargz,600,100,1300,2000,9000000,40,true,,300000000,30,200,2026-01-02T03:04:05.000Z',
  'r1,3,6,python,p:2,estargz,,,,,,,false,"not lazy: 3 of <4> layers",300000000,30,200,2026-01-02T03:04:05.000Z',
  'r1,1,7,gcc,g:1,legacy,15000,100,900,16000,400000000,9,true,,400000000,30,200,2026-01-02T03:04:05.000Z',
  'r1,1,8,gcc,g:2,stargz,,,,,,,false,timed out,400000000,30,200,2026-01-02T03:04:05.000Z',
  'r1,1,9,gcc,g:3,estargz,500,100,3400,4000,20000000,60,true,,400000000,30,200,2026-01-02T03:04:05.000Z',
  '',
].join('\n');

export const environment: Environment = {
  ...{ schema: environmentSchema, program: 'bench', runId: 'r1', dirty: true, command: 'npm run bench', seed: 1 },
  commit: '0123456789abcdef0123456789abcdef01234567',
  ...{ status: 'complete', startedAt: '2026-01-02T03:04:05.000Z', endedAt: null, link: null, daemon: null },
  ...{ versions: {}, machine: { cpu: 'a <b> & c' }, warnings: [], details: {} },
};

export const smallRun = readRun(parseSamples(csv, 'samples.csv'), environment);
