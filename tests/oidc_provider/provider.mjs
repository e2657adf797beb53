// The identity provider of the browser tests: `oidc-provider` from npm, with its own pages for the sign-in.
//
// Argument: the port of the loopback interface; 0 takes one that is free. Told line by line on its standard
// input, and answers each line with one:
//   {"client_id": ..., "client_secret": ..., "redirect_uri": ...}   its only client, from now on
//   "rotate"   another key signs, and only that one is published; who is on the way goes on
// The first line that it prints is its port. It ends with its standard input, so it cannot outlive the tests.

import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import Provider from 'oidc-provider';
import MemoryAdapter from 'oidc-provider/lib/adapters/memory_adapter.js';

// Standard output is for answers alone.
console.info = console.error;
const answer = (line) => process.stdout.write(`${line}\n`);

let client;
let key;
let handle = (_, response) => response.writeHead(503).end();

// The login that somebody types is the account. It is an e-mail, or the part of one before the @.
const findAccount = (_, login) => ({
  accountId: login,
  claims: () => ({ sub: login, email: login.includes('@') ? login : `${login}@corp.example`, email_verified: true }),
});

function rotate() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  key = { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' };
}

function build() {
  const { client_id, client_secret, redirect_uri } = client;
  const provider = new Provider(issuer, {
    // Not the class itself, which would get a storage for each Provider: a rotation makes a new one.
    adapter: (model) => new MemoryAdapter(model),
    clients: [{ client_id, client_secret, redirect_uris: [redirect_uri] }],
    claims: { email: ['email', 'email_verified'] },
    cookies: { keys: ['for tests alone'] },
    features: { devInteractions: { enabled: true } },
    findAccount,
    jwks: { keys: [key] },
    pkce: { required: () => true },
  });
  // Its pages import a font from the internet, where no test goes.
  provider.use(async (context, next) => {
    await next();
    if (typeof context.body === 'string') context.body = context.body.replace(/@import url\([^)]*\);/, '');
  });
  handle = provider.callback();
}

const server = createServer((request, response) => handle(request, response));
await new Promise((listening) => { server.listen(Number(process.argv[2]), '127.0.0.1', listening); });
const { port } = server.address();
// Another site than 127.0.0.1, where our pages are: cookies must survive the way between the two.
const issuer = `http://localhost:${port}`;
rotate();
answer(port);

for await (const line of createInterface({ input: process.stdin })) {
  const told = JSON.parse(line);
  if (told === 'rotate') rotate();
  else client = told;
  build();
  answer('done');
}
process.exit();
