// What has to be there before the bench can ask, made with the provider's own models, and printed as JSON.
//   seed.mjs secrets         for SECRETS_FILE; needs nothing in the environment
//   seed.mjs codes COUNT     device codes that nobody has decided, as the endpoint makes them
//   seed.mjs tokens COUNT    access tokens of one account, each with a grant of its own

import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';

import { generate, normalize } from 'oidc-provider/lib/helpers/user_codes.js';

const CLIENT = 'bench';
const SCOPE = 'openid email profile';
const SUB = '6d0f4e4e-1d3c-4f0f-9a37-0c8b8f6f2a10';
const ACCOUNT = { sub: SUB, email: 'ada@corp.example', email_verified: true, name: 'Ada Lovelace' };
const AT_ONCE = 1000;

const [what, count] = process.argv.slice(2);
// Standard output is for the answer alone, and the provider has notices.
console.info = console.error;

const random = () => randomBytes(32).toString('base64url');

function secrets() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const key = { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' };
  return { jwks: { keys: [key] }, cookieKeys: [random()], apiSecret: random() };
}

async function code({ provider }) {
  const made = new provider.DeviceCode({
    client: await provider.Client.find(CLIENT),
    deviceInfo: { ip: '127.0.0.1', ua: '' },
    params: { client_id: CLIENT, scope: SCOPE },
    userCode: normalize(generate('base-20', '****-****')),
  });
  return made.save();
}

async function token({ provider }) {
  const grant = new provider.Grant({ accountId: SUB, clientId: CLIENT });
  grant.addOIDCScope(SCOPE);
  const made = new provider.AccessToken({
    accountId: SUB,
    client: await provider.Client.find(CLIENT),
    grantId: await grant.save(),
    gty: 'device_code',
    scope: SCOPE,
  });
  return made.save();
}

async function several(make) {
  const { providerOn, accountKey } = await import('./provider.mjs');
  const { provider, redis } = providerOn(process.env);
  await redis.set(accountKey(SUB), JSON.stringify(ACCOUNT));
  const all = [];
  while (all.length < Number(count)) {
    const batch = Math.min(AT_ONCE, Number(count) - all.length);
    all.push(...await Promise.all(Array.from({ length: batch }, () => make({ provider }))));
  }
  await redis.quit();
  return all;
}

const answers = { secrets, codes: () => several(code), tokens: () => several(token) };
process.stdout.write(JSON.stringify(await answers[what]()));
