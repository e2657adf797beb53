// A client that others wrote (`openid-client` from npm) with keys of its own, against a server that wants proofs.
//
// Prints where to go, then as one JSON object what became of each thing that it tried.

import * as client from 'openid-client';

const [host, clientId, algorithm] = process.argv.slice(2);
const options = { algorithm: 'oauth2', execute: [client.allowInsecureRequests] };
const config = await client.discovery(new URL(host), clientId, undefined, client.None(), options);
const handle = async (alg) => client.getDPoPHandle(config, await client.randomDPoPKeyPair(alg));
const mine = await handle(algorithm);
const other = await handle('ES256');
const told = {};

// What a call is refused with, as the library reads it.
const refusal = async (call) => {
  try {
    return `not refused: ${JSON.stringify(await call())}`;
  } catch (error) {
    return error.error ?? error.cause?.[0]?.parameters?.error ?? String(error);
  }
};

told.withoutKey = await refusal(() => client.initiateDeviceAuthorization(config, {}));
const code_verifier = client.randomPKCECodeVerifier();
const started = await client.initiateDeviceAuthorization(config, {
  dpop_jkt: await mine.calculateThumbprint(),
  code_challenge: await client.calculatePKCECodeChallenge(code_verifier),
  code_challenge_method: 'S256',
});
console.log(`Open ${started.verification_uri} and enter ${started.user_code}`);

const poll = (parameters, DPoP) => client.pollDeviceAuthorizationGrant(config, started, parameters, DPoP && { DPoP });
told.pollWithAnotherKey = await refusal(() => poll({ code_verifier }, other));
told.pollWithoutKey = await refusal(() => poll({ code_verifier }));
told.pollWithoutVerifier = await refusal(() => poll({}, mine));
const first = await poll({ code_verifier }, mine);
told.tokenType = first.token_type;

const api = new URL(config.serverMetadata().account_endpoint);
const use = (token, DPoP) => client.fetchProtectedResource(config, token, api, 'GET', undefined, undefined, DPoP && { DPoP });
const answer = await use(first.access_token, mine);
told.account = (await answer.json()).account.email;
told.useWithAnotherKey = await refusal(() => use(first.access_token, other));
told.useAsBearer = (await fetch(api, { headers: { authorization: `Bearer ${first.access_token}` } })).status;

told.refreshWithAnotherKey = await refusal(() => client.refreshTokenGrant(config, first.refresh_token, {}, { DPoP: other }));
told.refreshWithoutKey = await refusal(() => client.refreshTokenGrant(config, first.refresh_token));
const second = await client.refreshTokenGrant(config, first.refresh_token, {}, { DPoP: mine });
told.refreshed = second.token_type;
told.accountAgain = (await (await use(second.access_token, mine)).json()).account.email;
console.log(JSON.stringify(told));
