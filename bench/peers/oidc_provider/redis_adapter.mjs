// Where oidc-provider keeps its records: Redis, one key for each, in the way of the adapter that it documents.
//
// Of a record that is used once, the mark that it was used is a field beside it, so that it is set without reading.
// Lifetimes are in seconds, as oidc-provider says them. What is not there is undefined.

import Redis from 'ioredis';

const USED_ONCE = new Set(['AuthorizationCode', 'BackchannelAuthenticationRequest', 'DeviceCode', 'RefreshToken']);
const OF_A_GRANT = new Set([...USED_ONCE, 'AccessToken']);
// How long the mark of a record stays that ended in the same moment.
const LATE_MARK_SECONDS = 60;

// `address` is redis://HOST:PORT/NUMBER, or unix://FILE.
export function connect(address) {
  // Commands of requests that are answered in the same turn of the event loop go out in one write.
  return new Redis(address.replace(/^unix:\/\//, ''), { enableAutoPipelining: true });
}

const memberKey = (grantId) => `grant:${grantId}`;
const userCodeKey = (userCode) => `userCode:${userCode}`;
const uidKey = (uid) => `uid:${uid}`;

// For the setting `adapter` of oidc-provider, which asks for one adapter for each kind of record.
export const adapterOn = (redis) => (model) => new RedisAdapter(redis, model);

class RedisAdapter {
  constructor(redis, model) {
    this.redis = redis;
    this.model = model;
    this.usedOnce = USED_ONCE.has(model);
  }

  key(id) {
    return `${this.model}:${id}`;
  }

  async upsert(id, payload, lifetime) {
    const key = this.key(id);
    const record = JSON.stringify(payload);
    const { grantId, userCode, uid } = payload;
    const commands = [];
    if (this.usedOnce) {
      commands.push(['hset', key, 'payload', record]);
      if (lifetime) commands.push(['expire', key, lifetime]);
    } else {
      commands.push(expiring(key, record, lifetime));
    }
    if (userCode) commands.push(expiring(userCodeKey(userCode), id, lifetime));
    if (uid) commands.push(expiring(uidKey(uid), id, lifetime));
    if (grantId && OF_A_GRANT.has(this.model)) {
      const members = memberKey(grantId);
      commands.push(['sadd', members, key]);
      // The first gives a lifetime to a new set, the second makes that of an older one longer.
      if (lifetime) commands.push(['expire', members, lifetime, 'NX'], ['expire', members, lifetime, 'GT']);
    }
    if (commands.length === 1) {
      const [[name, ...rest]] = commands;
      await this.redis[name](...rest);
      return;
    }
    await this.together(commands);
  }

  async find(id) {
    if (!this.usedOnce) return parsed(await this.redis.get(this.key(id)));
    const [record, consumed] = await this.redis.hmget(this.key(id), 'payload', 'consumed');
    const payload = parsed(record);
    return payload && consumed ? { ...payload, consumed: Number(consumed) } : payload;
  }

  async findByUserCode(userCode) {
    return this.pointedAt(userCodeKey(userCode));
  }

  async findByUid(uid) {
    return this.pointedAt(uidKey(uid));
  }

  async consume(id) {
    const key = this.key(id);
    await this.together([
      ['hset', key, 'consumed', Math.floor(Date.now() / 1000)],
      ['expire', key, LATE_MARK_SECONDS, 'NX'],
    ]);
  }

  async destroy(id) {
    await this.redis.del(this.key(id));
  }

  async revokeByGrantId(grantId) {
    const members = memberKey(grantId);
    await this.redis.del(members, ...await this.redis.smembers(members));
  }

  async pointedAt(key) {
    const id = await this.redis.get(key);
    return id === null ? undefined : this.find(id);
  }

  // All of them or none, in one round trip; rejects with the first error of them.
  async together(commands) {
    const answers = await this.redis.multi(commands).exec();
    for (const [error] of answers) if (error) throw error;
  }
}

const parsed = (record) => (record === null ? undefined : JSON.parse(record));

const expiring = (key, value, lifetime) => (lifetime ? ['set', key, value, 'EX', lifetime] : ['set', key, value]);
