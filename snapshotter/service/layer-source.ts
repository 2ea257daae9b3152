import type { LayerManager } from '../layers/manager.ts';

/** What the service needs of the layers; tests of its rules stand in for it. */
export type LayerSource = Pick<LayerManager, 'mount' | 'restore' | 'mounted' | 'acquire' | 'release' | 'health'>;
