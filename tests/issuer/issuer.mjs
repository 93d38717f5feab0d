// A real OpenID Connect issuer for the tests: npm's oidc-provider, with its own forms to log in. It is run as
//
//     node issuer.mjs '{"port": 9000, "redirects": ["http://127.0.0.1:7600/login/oidc/callback"], ...}'
//
// ISSUER_TOOLS is the directory that scripts/setup has filled. Keys of what is given:
//   key, certificate   speak TLS with these files
//   secret             of the client `btctl`; without one it is a public client
//   code, device       seconds that a code and a device code hold
//   thin               claims are not in the ID token, but where they are asked for with the access token
//   noDevice           there is no device flow
//
// POST /test with {"forge": HOW} has ID tokens replaced with what a thief or another issuer would make.

import { createHmac, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';

const tools = process.env.ISSUER_TOOLS;
const { Provider } = await import(`${tools}/node_modules/oidc-provider/lib/index.js`);
const jose = await import(`${tools}/node_modules/jose/dist/webapi/index.js`);

const given = JSON.parse(process.argv[2]);
const scheme = given.key ? 'https' : 'http';
const issuer = `${scheme}://127.0.0.1:${given.port}`;
const grants = ['authorization_code', ...(given.noDevice ? [] : ['urn:ietf:params:oauth:grant-type:device_code'])];

// People, by what they enter as their name.
const PEOPLE = {
    ann: { email: 'ann@firm.example', email_verified: true, groups: ['quants', 'lunch'] },
    olga: { email: 'olga@firm.example', email_verified: true, groups: ['quants', 'operators'] },
    bob: { email: 'bob@firm.example', email_verified: true, groups: ['sales'] },
    eve: { email: 'ann@firm.example', email_verified: false, groups: ['quants'] },
    root: { groups: ['quants'] },
};

// Its own key, new at each start.
const ours = await keyOf('RS256');

async function keyOf(alg) {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const kid = `key-${Math.random()}`;
    return { alg, kid, publicKey, privateKey, jwk: { ...(await jose.exportJWK(privateKey)), kid, alg, use: 'sig' } };
}

const provider = new Provider(issuer, {
    jwks: { keys: [ours.jwk] },
    clients: [{
        client_id: 'btctl',
        client_secret: given.secret,
        token_endpoint_auth_method: given.secret ? 'client_secret_basic' : 'none',
        grant_types: grants,
        response_types: ['code'],
        redirect_uris: given.redirects,
        application_type: given.redirects.every(address => address.startsWith('https:')) ? 'web' : 'native',
    }],
    cookies: { keys: ['for the tests alone'] },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
    scopes: ['openid', 'email', 'groups'],
    conformIdTokenClaims: given.thin ?? false,
    pkce: { required: () => true },
    features: { deviceFlow: { enabled: !given.noDevice }, devInteractions: { enabled: true } },
    ttl: { AuthorizationCode: given.code ?? 60, DeviceCode: given.device ?? 600, AccessToken: 60, IdToken: 60, Session: 600, Grant: 600, Interaction: 600 },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...PEOPLE[id] }) }),
});

let forge = null;
const asked = [];

// What else could be in the place of an ID token.
async function forged(how, token) {
    const header = jose.decodeProtectedHeader(token), claims = jose.decodeJwt(token);
    const now = Math.floor(Date.now() / 1000);
    const part = value => Buffer.from(JSON.stringify(value)).toString('base64url');
    const signed = (claims, key = ours.privateKey, more = {}) =>
        new jose.SignJWT(claims).setProtectedHeader({ ...header, ...more }).sign(key);
    switch (how) {
    case 'none': return `${part({ ...header, alg: 'none' })}.${part(claims)}.`;
    case 'hmac': {
        // The public key, which everybody knows, as a shared secret.
        const text = `${part({ ...header, alg: 'HS256' })}.${part(claims)}`;
        const key = ours.publicKey.export({ type: 'spki', format: 'pem' });
        return `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`;
    }
    case 'foreign': return signed(claims, (await keyOf('RS256')).privateKey);
    case 'unknown': return signed(claims, (await keyOf('RS256')).privateKey, { kid: 'nobody knows it' });
    case 'changed': return token.split('.').map((one, at) => at === 1 ? part({ ...claims, sub: 'olga' }) : one).join('.');
    case 'issuer': return signed({ ...claims, iss: 'https://evil.example' });
    case 'audience': return signed({ ...claims, aud: 'another' });
    case 'party': return signed({ ...claims, aud: ['btctl', 'another'], azp: 'another' });
    case 'expired': return signed({ ...claims, iat: now - 7200, exp: now - 3600 });
    case 'future': return signed({ ...claims, iat: now + 3600, exp: now + 7200 });
    case 'nonce': return signed({ ...claims, nonce: 'of another sign-in' });
    case 'nonceless': { const { nonce, ...rest } = claims; return signed(rest); }
    case 'endless': { const { exp, ...rest } = claims; return signed(rest); }
    case 'text': return 'hunter2';
    case 'skewed': return signed({ ...claims, iat: now + 30, exp: now + 60 });
    default: throw new Error(`${how} is not known`);
    }
}

provider.use(async (ctx, next) => {
    if (ctx.path === '/test') {
        let body = '';
        for await (const piece of ctx.req) body += piece;
        if (body) ({ forge } = JSON.parse(body));
        ctx.body = { asked };
        return;
    }
    asked.push(`${ctx.method} ${ctx.path}`);
    await next();
    if (ctx.path === '/token' && forge && ctx.body?.id_token) {
        ctx.body = { ...ctx.body, id_token: await forged(forge, ctx.body.id_token) };
    }
});
provider.on('server_error', (ctx, error) => console.error(error));

const tls = given.key ? { key: readFileSync(given.key), cert: readFileSync(given.certificate) } : {};
const server = given.key ? createTlsServer(tls, provider.callback()) : createServer(provider.callback());
server.listen(given.port, '127.0.0.1', () => console.error('it listens'));
