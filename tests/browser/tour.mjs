// Every page in every form: light and dark, wide and as on a phone. Says what keeps people from using them.
//
// given: pages (paths by name), refused (paths whose answer is a refusal), shots (a directory for pictures, if any)

import { at, barriers, DESKTOP, excess, given, PHONE, run, unreachable } from './browser.mjs';

await run(async open => {
    const found = {};
    for (const [scheme, width, viewport] of [
        ['light', 'desktop', DESKTOP], ['dark', 'desktop', DESKTOP], ['light', 'phone', PHONE], ['dark', 'phone', PHONE],
    ]) {
        const page = await open({ colorScheme: scheme, viewport });
        const refusal = await open({ colorScheme: scheme, viewport, refused: true });
        for (const [name, path] of Object.entries(given.pages)) {
            const isRefused = (given.refused ?? []).includes(path);
            const shown = isRefused ? refusal : page;
            await shown.goto(at(path));
            const wrong = await barriers(shown);
            const wide = await excess(shown);
            if (wide) wrong.push(`it is too wide: ${wide}`);
            if (scheme === 'light' && width === 'desktop') wrong.push(...await unreachable(shown));
            if (given.shots) await shown.screenshot({ path: `${given.shots}/${name}-${width}-${scheme}.png`, fullPage: true });
            if (wrong.length > 0) found[`${name}, ${width}, ${scheme}`] = wrong;
        }
        await page.context().close();
        await refusal.context().close();
    }
    return found;
});
