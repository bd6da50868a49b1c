// The official SDK against /v1: chat, stream, tools over two turns, and its own classes of errors.
import OpenAI from "openai";

const { url, key, model, prompts, failures } = JSON.parse(process.argv[2]);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const user = (content) => [{ role: "user", content }];

const whole = await client.chat.completions.create({ model, messages: user(prompts.whole) });

let text = "";
const stream = await client.chat.completions.create({ model, messages: user(prompts.stream), stream: true });
for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";

const parameters = { type: "object", properties: { city: { type: "string" } } };
const tools = [{ type: "function", function: { name: "weather", parameters } }];
const messages = user(prompts.tools);
const first = await client.chat.completions.create({ model, messages, tools });
const { message } = first.choices[0];
messages.push(message);
for (const call of message.tool_calls)
  messages.push({ role: "tool", tool_call_id: call.id, content: `${JSON.parse(call.function.arguments).city}: rain` });
const second = await client.chat.completions.create({ model, messages, tools });

const errors = {};
for (const [name, { fields, prompt, as }] of Object.entries(failures)) {
  const caller = as ? new OpenAI({ baseURL: `${url}/v1`, apiKey: as, maxRetries: 0 }) : client;
  try {
    const answer = await caller.chat.completions.create({ model, messages: user(prompt), ...fields });
    if (fields.stream) for await (const chunk of answer) void chunk;
    errors[name] = "no error";
  } catch (error) {
    errors[name] = error.constructor.name;
  }
}

const listed = [];
for await (const { id } of client.models.list()) listed.push(id);

console.log(
  JSON.stringify({
    whole: whole.choices[0].message.content,
    stream: text,
    tools: second.choices[0].message.content,
    errors,
    listed,
  }),
);
