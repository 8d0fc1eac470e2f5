"use strict";
// Shows /openapi.json to people. Whatever the document holds goes into the page as text, never as markup.

const WORDS = {
  zh: {
    search: "搜索操作、字段、错误码", other: "EN", about: "说明", fields: "请求字段", result: "结果字段", errors: "错误码",
    call: "命令行示例", body: "请求示例", required: "必填", limits: "类型与取值", example: "示例", name: "名称",
    description: "说明", none: "无", code: "错误码", text: "含义", read: "读", write: "写", admin: "仅管理员", product: "云产品可调用",
    also: "也接受", spelling: "另一种写法", failed: "无法读取 /openapi.json", nothing: "没有匹配的操作", planes: "可用接口",
    openapi: "OpenAPI", accessPoint: "应用接入点", action: "权限", rate: "限流类别",
  },
  en: {
    search: "Search operations, fields, codes", other: "中文", about: "About", fields: "Request fields", result: "Result fields",
    errors: "Error codes", call: "On the command line", body: "Example of a body", required: "required", limits: "Type and limits",
    example: "Example", name: "Name", description: "Description", none: "none", code: "Code", text: "Meaning", read: "read",
    write: "write", admin: "administrators only", product: "cloud products too", also: "also", spelling: "other spelling", failed: "/openapi.json cannot be read",
    nothing: "No operation matches", planes: "Planes", openapi: "OpenAPI", accessPoint: "access point", action: "Permission",
    rate: "Rate class",
  },
};

let language = localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
let spec = null;
const words = () => WORDS[language];
const titleOf = (thing) => thing[`x-title-${language}`] ?? thing.name;

/** Makes an element; strings among its children become text. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Text with what stands between backticks as code. */
function prose(text) {
  return (text ?? "").split("`").map((part, number) => (number % 2 ? element("code", {}, part) : part));
}

/** Follows a reference; the document has no loops of them. */
function resolve(schema) {
  if (!schema?.$ref) return schema ?? {};
  const { $ref, ...beside } = schema;
  const target = $ref.split("/").slice(1).reduce((at, part) => at?.[part], spec);
  return { ...resolve(target), ...beside };
}

/** The operations of the document, one for each name, under their first path. */
function operations() {
  const found = new Map();
  for (const [path, item] of Object.entries(spec.paths)) {
    const post = item.post;
    const known = found.get(post["x-operation"]);
    if (!known) found.set(post["x-operation"], { path, post, get: Boolean(item.get), others: [] });
    else if (post.deprecated) known.others.push(path);
    else found.set(post["x-operation"], { path, post, get: Boolean(item.get), others: [known.path, ...known.others] });
  }
  return [...found.values()];
}

/** Type and limits of a schema in a few words. */
function limits(schema) {
  const said = [];
  if (schema.contentSchema) said.push("JSON");
  if (schema.enum) said.push(schema.enum.join(" | "));
  else if (schema.anyOf) said.push(schema.anyOf.map((one) => limits(resolve(one))).join(" / "));
  else said.push([schema.type].flat().join(" / "));
  if (schema.minimum !== undefined || schema.maximum !== undefined) said.push(`${schema.minimum ?? ""}–${schema.maximum ?? ""}`);
  if (schema.minLength || schema.maxLength) said.push(`${schema.minLength ?? 0}–${schema.maxLength ?? ""} chars`);
  if (schema.maxItems) said.push(`≤ ${schema.maxItems}`);
  if (schema.default !== undefined && schema.default !== "") said.push(`= ${JSON.stringify(schema.default)}`);
  const also = [...(schema["x-also-values"] ?? []), ...(schema["x-also-named"] ?? [])];
  if (also.length) said.push(`${words().also} ${also.join(", ")}`);
  return said.join(" · ");
}

/** Rows of a table of fields; the fields of lists and objects follow, indented by their path. */
function fieldRows(schema, sent, before = "") {
  const whole = resolve(schema);
  const rows = [];
  for (const [name, inner] of Object.entries(whole.properties ?? {})) {
    const field = resolve(inner);
    const example = field.examples?.[0];
    const title = element("td", {}, element("code", {}, before + name));
    if (sent && whole.required?.includes(name)) title.append(" ", element("span", { class: "required" }, words().required));
    rows.push(element("tr", {}, title,
      element("td", { class: "faint" }, limits(field)),
      element("td", {}, ...prose(field.description)),
      element("td", {}, example === undefined ? "" : element("code", {}, JSON.stringify(example)))));
    if (field.properties) rows.push(...fieldRows(field, sent, `${before}${name}.`));
    const item = resolve(field.items ?? field.contentSchema?.items);
    if (item.properties) rows.push(...fieldRows(item, sent, `${before}${name}[].`));
  }
  return rows;
}

function table(heads, rows) {
  if (!rows.length) return element("p", { class: "faint" }, words().none);
  const head = element("tr", {}, ...heads.map((text) => element("th", {}, text)));
  return element("div", { class: "wide" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
}

/** Fields that clients send, of which some are required, or that come back. */
const fieldTable = (schema, sent) =>
  table([words().name, words().limits, words().description, words().example], fieldRows(schema, sent));

/** The schema of the result inside the form of the plane. */
function resultOf(post) {
  const answer = post.responses["200"].content["application/json"].schema;
  const success = answer.oneOf ? answer.oneOf[0] : answer;
  const form = success.allOf[1].properties;
  return form.returnObj?.properties.result ?? form.result ?? form.data;
}

/** Every code of an operation, each once. */
function codesOf(post) {
  const codes = new Set();
  for (const response of Object.values(post.responses)) {
    const schema = resolve(response).content["application/json"].schema;
    for (const one of schema.oneOf ?? [schema]) {
      const form = one.allOf[1].properties;
      for (const code of form.errorCode?.enum ?? form.code?.enum ?? []) codes.add(code);
    }
  }
  return [...codes].sort();
}

function codeTable(post) {
  const row = (code) => {
    const facts = spec["x-error-codes"][code] ?? {};
    const text = language === "zh" ? facts.description : facts.message ?? facts.error;
    return element("tr", {},
      element("td", {}, element("code", {}, code)), element("td", {}, String(facts.httpStatus ?? "")),
      element("td", {}, facts.error ?? ""), element("td", {}, text ?? ""));
  };
  return table([words().code, "HTTP", "error", words().text], codesOf(post).map(row));
}

function facts(post) {
  const planes = post["x-planes"].map((plane) => words()[plane]).join(", ");
  return element("p", { class: "faint" },
    `${words().planes}: ${planes} · ${words().action}: ${post["x-action"]} · ${words().rate}: ${post["x-rate-class"]}`);
}

/** One operation; what is inside is made when it is opened. */
function operation({ path, post, get, others }) {
  const name = post["x-operation"];
  const head = element("summary", {}, element("h3", {}, `${name} ${titleOf(post)}`),
    element("code", { class: "path" }, `${get ? "GET, POST" : "POST"} ${path}`),
    post["x-administrators-only"] ? element("span", { class: "mark" }, words().admin) : null,
    post["x-cloud-products"] ? element("span", { class: "mark" }, words().product) : null);
  const inside = element("div", { class: "body" });
  const whole = element("details", { id: name }, head, inside);
  whole.addEventListener("toggle", () => {
    if (!whole.open || inside.childNodes.length) return;
    const content = post.requestBody.content["application/json"];
    const body = JSON.stringify(content.example);
    inside.append(element("p", {}, ...prose(post.description)), facts(post));
    if (others.length) inside.append(element("p", { class: "faint" }, `${words().spelling}: ${others.join(", ")}`));
    inside.append(element("h4", {}, words().fields), fieldTable(content.schema, true), element("h4", {}, words().body),
      element("pre", {}, JSON.stringify(content.example, null, 2)));
    if (post["x-planes"].includes("openapi")) {
      const json = body === "{}" ? "" : ` --json '${body}'`;
      inside.append(element("h4", {}, words().call), element("pre", {}, `yaoku call ${name}${json}`));
    }
    inside.append(element("h4", {}, words().result), fieldTable(resultOf(post), false),
      element("h4", {}, words().errors), codeTable(post));
  });
  return whole;
}

/** What a search looks at. */
function text({ path, post }) {
  const schema = resolve(post.requestBody.content["application/json"].schema);
  return [path, post["x-operation"], post["x-title-zh"], post["x-title-en"], post.description, post["x-action"],
    ...Object.keys(schema.properties ?? {}), ...codesOf(post)].join(" ").toLowerCase();
}

function show() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = spec.info.title;
  document.getElementById("search").placeholder = words().search;
  document.getElementById("language").textContent = words().other;
  const wanted = document.getElementById("search").value.trim().toLowerCase().split(/\s+/);
  const matches = operations().filter((one) => wanted.every((part) => text(one).includes(part)));
  const main = document.getElementById("operations");
  const contents = document.getElementById("contents");
  const about = element("details", {}, element("summary", {}, element("h3", {}, words().about)),
    element("div", { class: "body" }, element("pre", { class: "about" }, spec.info.description)));
  main.replaceChildren(element("h2", {}, `${spec.info.title} ${spec.info.version}`),
    element("p", { class: "faint" }, `${spec.info.summary} · `, element("a", { href: "/openapi.json" }, "/openapi.json")), about);
  contents.replaceChildren();
  for (const tag of spec.tags) {
    const members = matches.filter((one) => one.post.tags.includes(tag.name));
    if (!members.length) continue;
    main.append(element("h2", {}, titleOf(tag)), ...members.map(operation));
    contents.append(element("h2", {}, titleOf(tag)),
      ...members.map(({ post }) => element("a", { href: `#${post["x-operation"]}` }, post["x-operation"])));
  }
  if (!matches.length) main.append(element("p", {}, words().nothing));
}

/** Opens the operation that the address names. */
function follow() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named instanceof HTMLDetailsElement) {
    named.open = true;
    named.scrollIntoView();
  }
}

document.getElementById("search").addEventListener("input", show);
document.getElementById("language").addEventListener("click", () => {
  language = language === "zh" ? "en" : "zh";
  localStorage.setItem("language", language);
  show();
  follow();
});
addEventListener("hashchange", follow);

fetch("/openapi.json").then((answer) => answer.json()).then((document) => {
  spec = document;
  show();
  follow();
}).catch(() => document.getElementById("operations").replaceChildren(element("p", {}, words().failed)));
