// What a program that uses the npm package acme-client does: `node acme_client.js DOES [NAME…]`.
const acme = require('acme-client');
const { execFileSync } = require('child_process');
const fs = require('fs');
const tls = require('tls');

const { ACME, WEBROOT, TXT, TLS, KID, MAC } = process.env;
const accountKey = () => fs.readFileSync('account.key');

/** Meets a challenge. */
const meet = {
    'http-01': async (authz, challenge, answer) => fs.writeFileSync(`${WEBROOT}/${challenge.token}`, answer),
    'dns-01': async (authz, challenge, answer) => {
        execFileSync(TXT, ['add', `_acme-challenge.${authz.identifier.value}`, answer]);
    },
    'tls-alpn-01': async (authz, challenge, answer) => {
        const [key, cert] = await acme.crypto.createAlpnCertificate(authz, answer);
        const server = tls.createServer({ key, cert, ALPNProtocols: ['acme-tls/1'] });
        server.unref();
        await new Promise((listening) => server.listen(Number(TLS), '127.0.0.1', listening));
    },
};

async function issue(client, challenge, names) {
    const [, csr] = await acme.crypto.createCsr({ altNames: names }, await acme.crypto.createPrivateEcdsaKey());
    const chain = await client.auto({
        csr,
        email: 'you@example.com',
        termsOfServiceAgreed: true,
        challengePriority: [challenge],
        // It would ask port 80, and the system's name server.
        skipChallengeVerification: true,
        challengeCreateFn: meet[challenge],
        challengeRemoveFn: async () => {},
    });
    fs.writeFileSync('chain.pem', chain);
}

/** What auto() cannot: it takes all names for DNS names. */
async function issueForAddress(client, address) {
    const order = await client.createOrder({ identifiers: [{ type: 'ip', value: address }] });
    for (const authz of await client.getAuthorizations(order)) {
        const challenge = authz.challenges.find(({ type }) => type === 'http-01');
        await meet['http-01'](authz, challenge, await client.getChallengeKeyAuthorization(challenge));
        await client.completeChallenge(challenge);
        await client.waitForValidStatus(challenge);
    }
    const [, csr] = await acme.crypto.createCsr({ altNames: [address] }, await acme.crypto.createPrivateEcdsaKey());
    fs.writeFileSync('chain.pem', await client.getCertificate(await client.finalizeOrder(order, csr)));
}

async function main([does, ...names]) {
    if (!fs.existsSync('account.key')) {
        fs.writeFileSync('account.key', await acme.crypto.createPrivateEcdsaKey());
    }
    const externalAccountBinding = KID ? { kid: KID, hmacKey: MAC } : {};
    const client = new acme.Client({
        directoryUrl: ACME, accountKey: accountKey(), externalAccountBinding, backoffMin: 200, backoffMax: 1000,
    });
    if (meet[does]) {
        return issue(client, does, names);
    }
    await client.createAccount({ termsOfServiceAgreed: true, contact: ['mailto:you@example.com'] });
    switch (does) {
        case 'address':
            return issueForAddress(client, names[0]);
        case 'revoke':
            return client.revokeCertificate(fs.readFileSync('chain.pem'), { reason: 4 });
        case 'rollover': {
            const key = await acme.crypto.createPrivateEcdsaKey('P-384');
            await client.updateAccountKey(key);
            await client.updateAccount({ contact: ['mailto:other@example.com'] });
            return fs.writeFileSync('account.key', key);
        }
        case 'deactivate':
            return client.updateAccount({ status: 'deactivated' });
        default:
            throw new Error(`no such thing: ${does}`);
    }
}

main(process.argv.slice(2)).catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
