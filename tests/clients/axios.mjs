// One request with axios, as a newcomer writes it. The task comes as the argument, what came of it goes to stdout.
import axios from "axios";

const { url, key, model, prompts } = JSON.parse(process.argv[2]);
const ask = (prompt, fields, options) =>
  axios.post(
    `${url}/api/chat/completions`,
    { model, messages: [{ role: "user", content: prompt }], ...fields },
    { headers: { "x-api-key": key, "Content-Type": "application/json" }, ...options },
  );

const whole = await ask(prompts.whole);

const stream = await ask(prompts.stream, { stream: true }, { responseType: "stream" });
let text = "";
for await (const piece of stream.data) text += piece;

const refused = await ask(prompts.refused, { model: "no such model" }).catch((error) => error.response);
const stranger = await axios
  .post(`${url}/api/chat/completions`, { model, messages: [] }, { headers: { "x-api-key": "wrong" } })
  .catch((error) => error.response);

console.log(
  JSON.stringify({
    whole: whole.data.choices[0].message.content,
    vendor: whole.headers["x-weir-vendor"],
    stream: text,
    refused: { status: refused.status, data: refused.data },
    stranger: { status: stranger.status, data: stranger.data },
  }),
);
