// An authorization server that others wrote, with its device flow: `oidc-provider` from npm.
//
// Argument: how many seconds its device codes live; 60 without one.
// It prints its port first, and ends with its standard input. Each line on it is a person's decision,
// {"user_code": ..., "allow": true}, which goes the way of the real pages; it is answered with the last status.

import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

console.info = console.error;
const answer = (line) => process.stdout.write(`${line}\n`);
// The package lies in the folder that this is started in.
const { default: Provider } = await import(
  pathToFileURL(createRequire(`${process.cwd()}/`).resolve('oidc-provider')).href
);

let handle = (_, response) => response.writeHead(503).end();
const server = createServer((request, response) => handle(request, response));
await new Promise((listening) => { server.listen(0, '127.0.0.1', listening); });
const issuer = `http://localhost:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'cli',
    token_endpoint_auth_method: 'none',
    application_type: 'native',
    grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
    redirect_uris: [],
    response_types: [],
  }, {
    client_id: 'api',
    client_secret: 'a secret for tests alone',
    grant_types: [],
    redirect_uris: [],
    response_types: [],
  }],
  clientAuthMethods: ['none', 'client_secret_basic'],
  cookies: { keys: ['for tests alone'] },
  features: {
    deviceFlow: { enabled: true },
    revocation: { enabled: true },
    introspection: { enabled: true },
    dPoP: { enabled: true },
    devInteractions: { enabled: true },
  },
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  issueRefreshToken: async (_, client, code) => client.grantTypeAllowed('refresh_token') && code.scopes.has('offline_access'),
  pkce: { required: () => false },
  ttl: { DeviceCode: Number(process.argv[2] ?? 60), AccessToken: 3600, RefreshToken: 86400, Grant: 86400, Interaction: 600, Session: 600, IdToken: 600 },
});
handle = provider.callback();
answer(server.address().port);

// A browser as far as forms and cookies go.
class Browser {
  cookies = new Map();

  async go(address, form) {
    let url = new URL(address, issuer);
    let body = form && new URLSearchParams(form);
    for (;;) {
      const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
      const reply = await fetch(url, { method: body ? 'POST' : 'GET', body, headers: { cookie }, redirect: 'manual' });
      for (const one of reply.headers.getSetCookie()) {
        const [, name, value] = one.match(/^([^=]+)=([^;]*)/);
        if (value) this.cookies.set(name, value); else this.cookies.delete(name);
      }
      if (reply.status < 300 || reply.status > 399) return { url, status: reply.status, text: await reply.text() };
      url = new URL(reply.headers.get('location'), url);
      body = undefined;
    }
  }

  static fields(text) {
    const found = {};
    for (const [input] of text.matchAll(/<input[^>]*>/g)) {
      const name = input.match(/name="([^"]*)"/)?.[1];
      if (name) found[name] = input.match(/value="([^"]*)"/)?.[1] ?? '';
    }
    return found;
  }
}

async function decide({ user_code, allow }) {
  const browser = new Browser();
  let page = await browser.go('/device');
  page = await browser.go('/device', { ...Browser.fields(page.text), user_code });
  const confirmation = Browser.fields(page.text);
  if (!allow) return (await browser.go('/device', { ...confirmation, abort: 'yes', confirm: 'yes' })).status;
  page = await browser.go('/device', { ...confirmation, confirm: 'yes' });
  for (let left = 4; left && page.url.pathname.startsWith('/interaction/'); left -= 1) {
    const fields = Browser.fields(page.text);
    const action = page.text.match(/<form[^>]*action="([^"]*)"/)[1];
    page = await browser.go(action, { ...fields, ...('login' in fields && { login: 'ada', password: 'x' }) });
  }
  return page.status;
}

for await (const line of createInterface({ input: process.stdin })) {
  answer(await decide(JSON.parse(line)).catch((error) => { console.error(error); return 'failed'; }));
}
process.exit();
