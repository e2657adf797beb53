// What oidc-provider takes for granted and Node.js 18, the nodejs of Debian 12, lacks. For `node --import`.

import * as crypto from 'node:crypto';
import { register } from 'node:module';

globalThis.crypto ??= crypto.webcrypto;
URL.parse ??= (...address) => {
  try {
    return new URL(...address);
  } catch {
    return null;
  }
};

if (!crypto.hash) {
  // A built-in module takes no further name, so another one stands in for it.
  const asModule = (source) => `data:text/javascript,${encodeURIComponent(source)}`;
  const withHash = asModule(`
    import { createHash } from 'node:crypto';
    export * from 'node:crypto';
    export const hash = (name, text, encoding = 'hex') => createHash(name).update(text).digest(encoding);
  `);
  register(asModule(`
    export const resolve = (name, context, next) =>
      name === 'node:crypto' && context.parentURL.includes('/oidc-provider/')
        ? { url: ${JSON.stringify(withHash)}, shortCircuit: true }
        : next(name, context);
  `));
}
