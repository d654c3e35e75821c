// The plugin of `lantern dev`: it reads the author's bundle from standard input, so that a save needs no new plugin.

import * as log from 'lantern:plugin/log@0.1.0';
import * as readModel from 'lantern:plugin/read-model@0.1.0';
import * as writes from 'lantern:plugin/read-model-writes@0.1.0';
import { getStdin } from 'wasi:cli/stdin@0.2.0';

const imports = {
  'lantern:plugin/log@0.1.0': log,
  'lantern:plugin/read-model@0.1.0': readModel,
  'lantern:plugin/read-model-writes@0.1.0': writes,
};

let exported;

export const describe = () => plugin().describe();
export const apply = (batch) => plugin().apply(batch);

/** The bundle's exports; it is a CommonJS module in ASCII. */
function plugin() {
  if (exported) return exported;
  const module = { exports: {} };
  const run = (0, eval)(`(function (require, module, exports) {${standardInput()}\n})`);
  try {
    run((name) => imports[name], module, module.exports);
  } catch (error) {
    log.log('error', `${error}\n${error.stack}`);
    throw error;
  }
  return (exported = module.exports);
}

function standardInput() {
  const stdin = getStdin();
  let text = '';
  try {
    for (;;) text += String.fromCharCode(...stdin.blockingRead(16384));
  } catch (end) {
    if (end.payload?.tag !== 'closed') throw end;
    return text;
  }
}
