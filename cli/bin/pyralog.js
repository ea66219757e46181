#!/usr/bin/env node
// What `npx pyralog` runs. It is here, and not in dist, so that `npm ci` can link it before the first build.
import '../dist/main.js';
