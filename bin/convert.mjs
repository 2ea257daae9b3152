#!/usr/bin/env node
import { launch } from './launch.mjs';

launch('harness/optimize/cli.ts');
