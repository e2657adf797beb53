// Serves the provider on 127.0.0.1:PORT with PROCESSES processes, without a log. See provider.mjs for the rest of the
// environment. It ends as soon as one of its processes does: half a server is not to be measured.

import cluster from 'node:cluster';
import { createServer } from 'node:http';

import { providerOn } from './provider.mjs';

const processes = Number(process.env.PROCESSES);

if (cluster.isPrimary && processes > 1) {
  for (let started = 0; started < processes; started += 1) cluster.fork();
  cluster.on('exit', () => process.exit(1));
} else {
  const { provider } = providerOn(process.env);
  const server = createServer(provider.callback());
  // Longer than a proxy before it keeps a connection, so that it is never the server that hangs up on a request.
  server.keepAliveTimeout = 75_000;
  server.listen(Number(process.env.PORT), '127.0.0.1');
}
