// The provider as an operator would set it up for a command-line tool and an API: the device flow, introspection and
// userinfo, opaque tokens, everything on Redis. `server.mjs` serves it, `seed.mjs` fills it.
//
// In the environment: ISSUER, REDIS_URL, SECRETS_FILE (what `seed.mjs secrets` printed).

import { readFileSync } from 'node:fs';

import Provider from 'oidc-provider';

import { adapterOn, connect } from './redis_adapter.mjs';

const DEVICE_CODE = 'urn:ietf:params:oauth:grant-type:device_code';
// Nothing that the bench made before it measures is to end while it does.
const LIFETIME_SECONDS = 24 * 60 * 60;

export const accountKey = (sub) => `account:${sub}`;

export function providerOn(environment) {
  const redis = connect(environment.REDIS_URL);
  const secrets = JSON.parse(readFileSync(environment.SECRETS_FILE, 'utf8'));

  // The accounts are on Redis too: a lookup in memory would be none.
  const findAccount = async (_, sub) => {
    const account = await redis.get(accountKey(sub));
    return account === null ? undefined : { accountId: sub, claims: () => JSON.parse(account) };
  };

  const provider = new Provider(environment.ISSUER, {
    adapter: adapterOn(redis),
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    // Clients that are configured stay in memory, as ours do.
    clients: [
      {
        client_id: 'bench',
        application_type: 'native',
        grant_types: [DEVICE_CODE],
        redirect_uris: [],
        response_types: [],
        token_endpoint_auth_method: 'none',
      },
      {
        client_id: 'bench-api',
        client_secret: secrets.apiSecret,
        grant_types: [],
        redirect_uris: [],
        response_types: [],
        token_endpoint_auth_method: 'client_secret_basic',
      },
    ],
    clientAuthMethods: ['none', 'client_secret_basic'],
    cookies: { keys: secrets.cookieKeys },
    features: {
      deviceFlow: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true, allowedPolicy: (_, client) => client.clientId === 'bench-api' },
      userinfo: { enabled: true },
    },
    findAccount,
    jwks: secrets.jwks,
    scopes: ['openid', 'email', 'profile'],
    ttl: Object.fromEntries(
      ['AccessToken', 'DeviceCode', 'Grant', 'IdToken', 'Interaction', 'Session'].map((kind) => [kind, LIFETIME_SECONDS]),
    ),
  });
  return { provider, redis };
}
