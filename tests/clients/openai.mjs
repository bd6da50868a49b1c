// The official SDK against /v1: chat, stream, a picture, tools over two turns, and its own classes of errors.
import OpenAI from "openai";

const { url, key, model, prompts, failures } = JSON.parse(process.argv[2]);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const user = (content) => [{ role: "user", content }];

const whole = await client.chat.completions.create({ model, messages: user(prompts.whole) });

let text = "";
const stream = await client.chat.completions.create({ model, messages: user(prompts.stream), stream: true });
for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";

const picture = { type: "image_url", image_url: { url: "data:image/png;base64,iVBORw0KGgo=" } };
const seen = await client.chat.completions.create({
  model,
  messages: user([{ type: "text", text: prompts.image }, picture]),
});

const parameters = { type: "object", properties: { city: { type: "string" } } };
const tools = [{ type: "function", function: { name: "weather", parameters } }];
const messages = user(prompts.tools);
const first = await client.chat.completions.create({ model, messages, tools });
const { message } = first.choices[0];
messages.push(message);
for (const call of message.tool_calls)
  messages.push({ role: "tool", tool_call_id: call.id, content: `${JSON.parse(call.function.arguments).city}: rain` });
const second = await client.chat.completions.create({ model, messages, tools });

const fails = async ([name, { fields, prompt, as }]) => {
  const caller = as ? new OpenAI({ baseURL: `${url}/v1`, apiKey: as, maxRetries: 0 }) : client;
  try {
    const answer = await caller.chat.completions.create({ model, messages: user(prompt), ...fields });
    if (fields.stream) for await (const chunk of answer) void chunk;
    return [name, "no error"];
  } catch (error) {
    return [name, error.constructor.name];
  }
};
const errors = Object.fromEntries(await Promise.all(Object.entries(failures).map(fails)));

const listed = [];
for await (const { id } of client.models.list()) listed.push(id);

console.log(
  JSON.stringify({
    whole: whole.choices[0].message.content,
    stream: text,
    image: seen.choices[0].message.content,
    tools: second.choices[0].message.content,
    errors,
    listed,
  }),
);
