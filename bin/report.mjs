#!/usr/bin/env node
import { launch } from './launch.mjs';

launch('charts/formats/cli.ts');
