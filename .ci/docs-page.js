// See docs-page. Environment: ADDRESS of the service, CHROMIUM, PROFILE (a new directory).
"use strict";

const assert = require("node:assert/strict");
const { chromium } = require("playwright-core");

const { ADDRESS, CHROMIUM, PROFILE } = process.env;
const ORIGIN = `http://${ADDRESS}`;
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"];
const VIEWS = [
  { name: "light", colorScheme: "light", viewport: { width: 1400, height: 1000 } },
  { name: "dark", colorScheme: "dark", viewport: { width: 1400, height: 1000 } },
  { name: "small", colorScheme: "light", viewport: { width: 390, height: 844 } },
];

// What a reader of the operation must find in its article.
function expected(api, path, method, operation) {
  const resolve = (value) => (value.$ref ? value.$ref.slice(2).split("/").reduce((at, key) => at[key], api) : value);
  const codes = Object.entries(operation.responses).filter(([status]) => status >= 400)
    .flatMap(([, response]) => {
      const { examples, example } = resolve(response).content["application/json"];
      // The webhook's errors have no code: its text is what a reader looks for.
      return examples ? Object.values(examples).map(({ value }) => value.code) : [JSON.stringify(example)];
    });
  const names = (operation.parameters || []).map((parameter) => resolve(parameter).name);
  return [method.toUpperCase(), path, operation.summary, "curl -sS", ...names, ...codes];
}

// The contrast of each text with what is behind it, by the formula of WCAG 2.
function lowContrasts() {
  const parse = (color) => color.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((part) => (part / 255 <= 0.03928 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const poor = new Set();
  for (const node of document.querySelectorAll("body *")) {
    if (![...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim())) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(ground(node))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) poor.add(`${node.tagName}.${node.className} ${contrast.toFixed(2)}`);
  }
  return [...poor];
}

async function check(page, view, api) {
  const said = [];
  page.on("console", (message) => said.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => said.push(`error: ${error.message}`));
  page.on("request", (request) => new URL(request.url()).origin === ORIGIN || said.push(`request: ${request.url()}`));
  page.on("response", (response) => response.ok() || response.status() === 304 || said.push(`${response.status()}: ${response.url()}`));
  await page.goto(`${ORIGIN}/docs`);
  await page.waitForSelector("article");

  const operations = Object.entries(api.paths).flatMap(([path, item]) => Object.entries(item).map(([method, operation]) => [path, method, operation]));
  assert.equal(await page.locator("article").count(), operations.length);
  assert.equal(await page.locator("nav a").count(), operations.length);
  for (const [path, method, operation] of operations) {
    const text = await page.locator(`article#${operation.operationId}`).innerText();
    for (const part of expected(api, path, method, operation)) assert.ok(text.includes(part), `${operation.operationId} lacks ${part}`);
    assert.ok(!/undefined|\[object|NaN/.test(text), `${operation.operationId} shows a bug`);
  }
  assert.deepEqual(await page.evaluate(lowContrasts), []);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(wide <= 0, `the page is ${wide} pixels too wide`);
  await page.screenshot({ path: `target/docs-page/${view.name}.png` });

  // The keyboard: the first stop leads past the menu; schemas open with Enter.
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "content");
  await page.locator("summary").first().focus();
  await page.keyboard.press("Enter");
  assert.ok(await page.locator("details").first().evaluate((node) => node.open));
  // A screen reader finds its way by landmarks and headings, and every table and button has a name.
  assert.equal(await page.locator("h1").count(), 1);
  for (const landmark of ["header", "nav[aria-label]", "main"]) assert.equal(await page.locator(landmark).count(), 1, landmark);
  assert.equal(await page.locator("table:not(:has(caption)), button:not([aria-label])").count(), 0);
  const ids = await page.evaluate(() => [...document.querySelectorAll("[id]")].map((node) => node.id));
  assert.equal(new Set(ids).size, ids.length, "an id is given twice");
  await page.locator("article#deleteChatMessage").scrollIntoViewIfNeeded();
  await page.locator("article#deleteChatMessage details").first().evaluate((node) => { node.open = true; });
  await page.locator("article#deleteChatMessage").screenshot({ path: `target/docs-page/${view.name}-operation.png` });

  assert.deepEqual(said, []);
}

async function main() {
  const api = await (await fetch(`${ORIGIN}/openapi.json`)).json();
  for (const view of VIEWS) {
    const { name, ...options } = view;
    const context = await chromium.launchPersistentContext(`${PROFILE}-${name}`, { executablePath: CHROMIUM, headless: true, args: FLAGS, ...options });
    await check(await context.newPage(), view, api);
    await context.close();
    console.log(`docs page, ${name}: good`);
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
