// What the tests' scripts share: a Chromium that notes whatever a page must not do. A script is run as
//
//     node SCRIPT.mjs '{"address": "http://127.0.0.1:7600/", ...}'
//
// and prints one JSON object, {"answer": ..., "problems": [...]}. BROWSER_TOOLS is the directory that scripts/setup has filled,
// and CHROMIUM the program.

import { readFileSync } from 'node:fs';

const tools = process.env.BROWSER_TOOLS;
const { chromium } = await import(`${tools}/playwright-core/index.mjs`);
const axe = readFileSync(`${tools}/axe-core/axe.min.js`, 'utf8');

// Longer than any page takes; a script that waits in vain fails by it.
const PATIENCE = 170_000;

// Root may not run Chromium's sandbox, and containers have little shared memory.
const FLAGS = ['--no-sandbox', '--disable-dev-shm-usage'];

export const given = JSON.parse(process.argv[2]);

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };

// The address of a page.
export const at = path => given.address + path.replace(/^\//, '');

// Runs `steps` with a function that opens a page, and prints what they return.
export async function run(steps) {
    const problems = [];
    const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: [...FLAGS, ...(given.flags ?? [])] });
    try {
        const open = options => opened(browser, problems, options);
        const answer = await steps(open);
        console.log(JSON.stringify({ answer, problems }));
    } finally {
        await browser.close();
    }
}

// A page that notes what goes wrong in it: errors, what its policy forbids, requests to elsewhere, refusals, dialogs.
// `refused` says that the server's refusals are what is looked at.
async function opened(browser, problems, { refused = false, ...options } = {}) {
    const context = await browser.newContext({ viewport: DESKTOP, ...options });
    context.setDefaultTimeout(PATIENCE);
    await context.addInitScript(() => {
        addEventListener('securitypolicyviolation', event =>
            console.error(`the policy ${event.violatedDirective} forbids ${event.blockedURI}`));
    });
    const page = await context.newPage();
    const note = what => problems.push(`${page.url()}: ${what}`);
    page.on('console', message => {
        const isOfRefusal = refused && /status of 4/.test(message.text());
        if (['error', 'warning'].includes(message.type()) && !isOfRefusal) note(message.text());
    });
    page.on('pageerror', error => note(String(error)));
    page.on('dialog', dialog => { note(`a dialog: ${dialog.message()}`); dialog.dismiss(); });
    page.on('request', request => {
        // The first page's address is also found without its last slash.
        if (!`${request.url()}/`.startsWith(given.address)) note(`it asks for ${request.url()}`);
    });
    page.on('response', response => {
        if (response.status() >= 400 && !refused) note(`${response.status()} for ${response.url()}`);
    });
    return page;
}

// Clicks on what leads to another page, or to the same one anew, and waits until that is there.
export async function follow(page, target) {
    const loaded = page.waitForEvent('load');
    await target.click();
    await loaded;
}

// What a person who can't see, or can't see well, would miss: axe-core's rules that it calls serious or critical.
export async function barriers(page) {
    await page.evaluate(axe);
    const found = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
    return found.violations
        .filter(rule => ['serious', 'critical'].includes(rule.impact))
        .map(rule => `${rule.id}: ${rule.nodes.slice(0, 3).map(node => node.html.slice(0, 200)).join(' | ')}`);
}

// What can be reached by keys and is not, or does not show that it has the focus.
export async function unreachable(page) {
    const all = await page.evaluate(() => {
        const targets = document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary, [tabindex="0"]');
        // What changes by itself keeps its elements, and so where the focus is.
        globalThis.targets = [...targets];
        return globalThis.targets.map(target => target.outerHTML.slice(0, 120));
    });
    const reached = new Set();
    const hidden = [];
    for (let step = 0; step < all.length + 20 && reached.size < all.length; step += 1) {
        await page.keyboard.press('Tab');
        const [number, isShown, html] = await page.evaluate(() => {
            const focused = document.activeElement;
            const drawn = focused.querySelector('.front') ?? focused;
            const style = getComputedStyle(focused), inner = getComputedStyle(drawn);
            const isOutlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
            return [globalThis.targets.indexOf(focused), isOutlined || inner.strokeWidth === '4px', focused.outerHTML.slice(0, 120)];
        });
        if (number < 0) continue;
        reached.add(number);
        if (!isShown) hidden.push(`no focus is seen: ${html}`);
    }
    return [...hidden, ...all.filter((_, number) => !reached.has(number)).map(html => `not reached: ${html}`)];
}

// What is wider than the window, so that the whole page moves sideways; null if all fits.
export const excess = page => page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    if (Math.max(document.documentElement.scrollWidth, document.body.scrollWidth) <= width) return null;
    const wide = [...document.querySelectorAll('body *')].filter(element =>
        !element.closest('.scroll, svg') && element.getBoundingClientRect().right > width);
    return wide.map(element => element.outerHTML.slice(0, 120)).join(' | ') || 'what scrolls';
});

// The cells of a table, as their texts, row by row.
export const rows = locator => locator.locator('tbody tr').evaluateAll(found =>
    found.map(row => [...row.children].map(cell => cell.textContent.trim())));
