#!/usr/bin/env node
import { launch } from './launch.mjs';

launch('snapshotter/convert/cli.ts');
