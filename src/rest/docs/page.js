// Makes the API page from /openapi.json. Everything is put in as text, never as HTML.
"use strict";

const METHODS = ["get", "post", "patch", "put", "delete"];
const REFERENCE = "#/components/";
let api;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// The little Markdown that the document uses: paragraphs, lists, `code`, **strong**.
function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (part.startsWith("`")) return element("code", {}, part.slice(1, -1));
    if (part.startsWith("**")) return element("strong", {}, part.slice(2, -2));
    return part;
  });
}

function prose(text = "") {
  return text.split("\n\n").filter(Boolean).map((block) => {
    if (!block.startsWith("- ")) return element("p", {}, ...inline(block));
    return element("ul", {}, ...block.slice(2).split("\n- ").map((item) => element("li", {}, ...inline(item))));
  });
}

// Follows a $ref; what stands beside it goes first.
function resolve(value) {
  if (!value || !value.$ref) return value;
  const found = value.$ref.slice(2).split("/").reduce((at, key) => at[key], api);
  return { ...resolve(found), ...value, $ref: undefined };
}

const nameOf = (schema) => (schema && schema.$ref ? schema.$ref.split("/").pop() : null);

function typeOf(given) {
  const name = nameOf(given);
  const schema = resolve(given);
  const choices = schema.oneOf || schema.anyOf;
  if (name && (schema.properties || schema.oneOf || schema.allOf)) return name;
  if (choices && !schema.type) return [...new Set(choices.map(typeOf))].join(" or ");
  if (schema.allOf) return schema.allOf.map(typeOf).join(" and ");
  const types = [schema.type || (schema.const !== undefined ? typeof schema.const : "any")].flat();
  return types.map((type) => (type === "array" && schema.items ? `array of ${typeOf(schema.items)}` : type)).join(" or ");
}

// Bounds and defaults in words.
function facts(given) {
  const schema = resolve(given);
  const said = [];
  const between = (low, high, unit) => {
    if (low !== undefined && high !== undefined) said.push(`${low} to ${high}${unit}`);
    else if (high !== undefined) said.push(`at most ${high}${unit}`);
    else if (low !== undefined) said.push(`at least ${low}${unit}`);
  };
  const exact = (bound) => (bound === Number.MAX_SAFE_INTEGER ? "2^53-1" : bound);
  const choices = (schema.anyOf || []).filter((choice) => choice.const !== "").map(facts).filter(Boolean);
  if (choices.length && !schema.properties) said.push(choices.join(" or "));
  if (schema.format) said.push(schema.format);
  between(schema.minimum, exact(schema.maximum), "");
  between(schema.minLength, schema.maxLength, " characters");
  between(schema.minItems, schema.maxItems, " items");
  if (schema.enum) said.push(`one of ${schema.enum.map((value) => (value === null ? "null" : value)).join(", ")}`);
  if (schema.const !== undefined) said.push(`always ${JSON.stringify(schema.const)}`);
  if (schema.default !== undefined) said.push(`default ${schema.default}`);
  return said.join("; ");
}

function table(caption, heads, rows) {
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)));
  const made = element("table", {}, element("caption", {}, caption), element("thead", {}, head), element("tbody", {}, ...rows));
  return element("div", { class: "wide", role: "region", "aria-label": caption, tabindex: "0" }, made);
}

function row(name, required, type, ...about) {
  const head = element("th", { scope: "row" }, element("code", {}, name));
  if (required) head.append(element("span", { class: "need" }, "required"));
  return element("tr", {}, head, element("td", {}, type), element("td", {}, ...about));
}

function about(description, schema) {
  return [...prose(description), element("span", { class: "facts" }, facts(schema))];
}

function parameters(list) {
  const rows = list.map(resolve).map((parameter) => {
    const type = `${typeOf(parameter.schema)} in ${parameter.in}`;
    return row(parameter.name, parameter.required, type, ...about(parameter.description, parameter.schema));
  });
  return table("Parameters", ["Name", "Type and place", "Meaning"], rows);
}

// Named schemas that a schema is made of, in the order in which a reader meets them.
function parts(given, seen = new Map()) {
  const name = nameOf(given);
  if (name && seen.has(name)) return seen;
  const schema = resolve(given);
  if (name && (schema.properties || schema.allOf || schema.oneOf)) seen.set(name, schema);
  const inner = [...Object.values(schema.properties || {}), ...(schema.oneOf || []), ...(schema.allOf || []), schema.items];
  inner.filter(Boolean).forEach((part) => parts(part, seen));
  return seen;
}

function keys(name, schema) {
  const whole = [schema, ...(schema.allOf || []).map(resolve)];
  const required = whole.flatMap((part) => part.required || []);
  const properties = whole.flatMap((part) => Object.entries(part.properties || {}));
  if (properties.length === 0) {
    const rows = (schema.oneOf || []).map((choice) => element("tr", {}, element("th", { scope: "row" }, typeOf(choice)), element("td", {}, facts(choice))));
    return table(`${name}: one of these`, ["Type", "Bounds"], rows);
  }
  const rows = properties.map(([key, property]) =>
    row(key, required.includes(key), typeOf(property), ...about(resolve(property).description, property)));
  return table(`Keys of ${name}`, ["Key", "Type", "Meaning"], rows);
}

function schemas(title, given) {
  const inner = element("div", { class: "inner" });
  for (const [name, schema] of parts(given)) inner.append(element("h5", {}, name), ...prose(schema.description), keys(name, schema));
  return element("details", {}, element("summary", {}, title), inner);
}

function sample(label, text) {
  const button = element("button", { type: "button", "aria-label": `Copy: ${label}` }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      // Only pages of a secure origin may write to the clipboard.
      button.textContent = "Select and copy by hand";
    }
  });
  return element("div", { class: "example" }, button, element("pre", { tabindex: "0", role: "region", "aria-label": label }, element("code", {}, text)));
}

const json = (value) => JSON.stringify(value, null, 2);

function examples(content, title) {
  const { examples: several, example } = content;
  if (example !== undefined) return [element("h5", {}, title), sample(title, json(example))];
  return Object.values(several || {}).flatMap((one) => [element("h5", {}, one.summary), sample(one.summary, json(one.value))]);
}

function curl(method, path, operation) {
  const given = (operation.parameters || []).map(resolve);
  const fill = (_, name) => given.find((one) => one.in === "path" && one.name === name).example;
  const query = given.filter((one) => one.in === "query" && one.required);
  let url = location.origin + path.replace(/\{(\w+)\}/g, fill);
  // The operation that takes the ticket from query or body shows it in the query.
  if (operation.operationId === "deleteChatMessageById") query.push(given.find((one) => one.name === "ticket_id"));
  if (query.length) url += `?${query.map((one) => `${one.name}=${encodeURIComponent(one.example)}`).join("&")}`;
  const parts = [`curl -sS ${method === "get" ? "" : `-X ${method.toUpperCase()} `}'${url}'`, '-H "SENDBIRDDESKAPITOKEN: $TOKEN"'];
  const body = method === "get" ? null : operation.requestBody;
  if (body) {
    const [first] = Object.values(body.content["application/json"].examples);
    parts.push("-H 'Content-Type: application/json'", `-d '${JSON.stringify(first.value).replace(/'/g, "'\\''")}'`);
  }
  return parts.join(" \\\n  ");
}

// What a response shows: several examples, or one that the response's own description explains.
function told(response) {
  const content = response.content["application/json"];
  return content.examples ? Object.values(content.examples) : [{ summary: response.description, value: content.example }];
}

function errors(responses) {
  const rows = Object.entries(responses).filter(([status]) => status >= 400).flatMap(([status, given]) =>
    told(resolve(given)).map(({ summary, value }) =>
      element("tr", {}, element("th", { scope: "row" }, status), element("td", {}, element("code", {}, value.code || "-")),
        element("td", {}, ...inline(summary)), element("td", {}, value.message || JSON.stringify(value)))));
  return table("Errors", ["Status", "Code", "When", "Message"], rows);
}

function successes(responses) {
  return Object.entries(responses).filter(([status]) => status < 400).flatMap(([status, given]) => {
    const response = resolve(given);
    const content = (response.content || {})["application/json"];
    const made = [element("h4", {}, `Answer ${status}`), ...prose(response.description)];
    const headers = Object.entries(response.headers || {});
    if (headers.length) made.push(element("h5", {}, "Headers"), table("Headers", ["Name", "Type", "Meaning"], headers.map(([name, header]) => row(name, false, typeOf(header.schema), ...prose(header.description)))));
    return content ? [...made, schemas(`Schema: ${typeOf(content.schema)}`, content.schema), ...examples(content, "Example")] : made;
  });
}

function article(method, path, operation) {
  const verb = method.toUpperCase();
  const made = element("article", { id: operation.operationId, "aria-labelledby": `${operation.operationId}-title` },
    element("h3", { id: `${operation.operationId}-title` }, operation.summary),
    element("p", { class: "route" }, element("span", { class: `verb ${verb}` }, verb), element("code", {}, path),
      operation.deprecated ? element("span", { class: "tag" }, "deprecated") : null),
    ...prose(operation.description));
  if (operation.parameters) made.append(element("h4", {}, "Parameters"), parameters(operation.parameters));
  if (operation.requestBody) {
    const content = operation.requestBody.content["application/json"];
    made.append(element("h4", {}, operation.requestBody.required ? "Body (required)" : "Body (optional)"), ...prose(operation.requestBody.description),
      schemas(`Schema: ${typeOf(content.schema)}`, content.schema), ...examples(content, "Example"));
  }
  const call = curl(method, path, operation);
  made.append(element("h4", {}, "Call"), sample(`Call ${operation.summary} with curl`, call));
  made.append(...successes(operation.responses), element("h4", {}, "Errors"), errors(operation.responses));
  return made;
}

function authentication() {
  const rows = Object.values(api.components.securitySchemes).map((scheme) =>
    row(scheme.name || "Authorization", false, scheme.type === "http" ? "Bearer <token>" : "<token>", ...prose(scheme.description)));
  return element("section", { id: "authentication" }, element("h2", {}, "Authentication"),
    element("p", {}, "Each call has a token, in one of these headers."), table("Headers", ["Header", "Value", "Meaning"], rows));
}

function render() {
  document.title = api.info.title;
  document.getElementById("title").textContent = api.info.title;
  const operations = Object.entries(api.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => [method, path, item[method]]));
  const content = document.getElementById("content");
  const menu = document.getElementById("menu");
  content.replaceChildren(element("p", {}, api.info.summary), ...prose(api.info.description), authentication());
  for (const tag of api.tags) {
    const of = operations.filter(([, , operation]) => operation.tags.includes(tag.name));
    content.append(element("section", {}, element("h2", {}, tag.name), ...prose(tag.description), ...of.map((one) => article(...one))));
    menu.append(element("h2", {}, tag.name), element("ul", {}, ...of.map(([method, , { operationId, summary }]) => {
      const verb = method.toUpperCase();
      return element("li", {}, element("a", { href: `#${operationId}` }, element("span", { class: `verb ${verb}` }, verb), summary));
    })));
  }
  const common = schemas("Schema: Error", { $ref: `${REFERENCE}schemas/Error` });
  content.append(element("section", { id: "errors" }, element("h2", {}, "Errors"), ...prose(api.components.schemas.Error.description), common));
  // A link into the page came before the page was there.
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

async function load() {
  const answer = await fetch("openapi.json");
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  api = await answer.json();
  render();
}

load().catch((error) => {
  document.getElementById("state").textContent = `The description of the API could not be loaded: ${error.message}`;
  throw error;
});
