//! A model that wants one command to be run, over the agents' protocols: Anthropic's messages and
//! OpenAI's responses, as far as one question needs them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde_json::{Value, json};

use crate::failure::{Answer, Failure};

/// The model, on a port of the loopback device. Its thread ends with this program.
pub(super) struct Model {
    address: SocketAddr,
    results: Arc<Mutex<Vec<String>>>,
}

impl Model {
    /// A model that wants `command`.
    pub(super) fn start(command: &'static str) -> Answer<Self> {
        let refused = |source| Failure::Start { program: "the model".to_owned(), source };
        let listener = TcpListener::bind("127.0.0.1:0").map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let results: Arc<Mutex<Vec<String>>> = Arc::default();
        let told = Arc::clone(&results);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let told = Arc::clone(&told);
                thread::spawn(move || {
                    // An agent that hangs up has no more to say.
                    let _ = converse(&stream, command, &told);
                });
            }
        });
        Ok(Self { address, results })
    }

    pub(super) fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What the agent told of the command's end.
    pub(super) fn results(&self) -> Vec<String> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn converse(stream: &TcpStream, command: &str, told: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let question: Value = serde_json::from_slice(&body).unwrap_or_default();
        let results = results_in(&question);
        let events = match path.split('?').next().unwrap_or_default() {
            "/v1/messages" => message(&question, command, results.is_empty()),
            "/v1/responses" => response(&question, command, results.is_empty()),
            _ => Vec::new(),
        };
        told.lock().unwrap_or_else(PoisonError::into_inner).extend(results);
        let text: String = events
            .iter()
            .map(|event| {
                format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or(""))
            })
            .collect();
        let (kind, text) = match text.is_empty() {
            true => ("application/json", "{}".to_owned()),
            false => ("text/event-stream", text),
        };
        let mut stream = stream;
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{text}",
            text.len()
        )?;
    }
}

/// What the question tells of the ends of commands.
fn results_in(question: &Value) -> Vec<String> {
    let items = |name: &str| question[name].as_array().cloned().unwrap_or_default();
    let of_messages = items("messages").into_iter().flat_map(|message| {
        message.get("content").and_then(Value::as_array).cloned().unwrap_or_default().into_iter()
    });
    of_messages
        .filter(|part| part["type"] == "tool_result")
        .chain(items("input").into_iter().filter(|item| item["type"] == "function_call_output"))
        .map(|result| result.to_string())
        .collect()
}

fn tools(question: &Value) -> Vec<&str> {
    let tools = question["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    tools.iter().filter_map(|tool| tool["name"].as_str()).collect()
}

/// <https://docs.anthropic.com/en/api/messages-streaming>
fn message(question: &Value, command: &str, asks: bool) -> Vec<Value> {
    let asks = asks && tools(question).contains(&"Bash");
    let (block, delta, reason) = if asks {
        let input = json!({ "command": command, "description": "one step" }).to_string();
        (
            json!({"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}),
            json!({"type": "input_json_delta", "partial_json": input}),
            "tool_use",
        )
    } else {
        (
            json!({"type": "text", "text": ""}),
            json!({"type": "text_delta", "text": "done"}),
            "end_turn",
        )
    };
    vec![
        json!({"type": "message_start", "message": {
            "id": "msg_1", "type": "message", "role": "assistant", "model": question["model"],
            "content": [], "stop_reason": null, "stop_sequence": null,
            "usage": {"input_tokens": 1, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "usage": {"output_tokens": 1},
            "delta": {"stop_reason": reason, "stop_sequence": null}}),
        json!({"type": "message_stop"}),
    ]
}

/// <https://platform.openai.com/docs/api-reference/responses-streaming>
fn response(question: &Value, command: &str, asks: bool) -> Vec<Value> {
    let known = tools(question);
    let call = |name: &str, arguments: Value| {
        json!({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": name,
            "arguments": arguments.to_string()})
    };
    let item = if !asks {
        json!({"type": "message", "id": "msg_1", "role": "assistant",
            "content": [{"type": "output_text", "text": "done"}]})
    } else if known.contains(&"shell_command") {
        call("shell_command", json!({ "command": command }))
    } else {
        call("exec_command", json!({ "cmd": command }))
    };
    vec![
        json!({"type": "response.created", "response": {"id": "resp_1"}}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        json!({"type": "response.completed", "response": {"id": "resp_1",
            "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}}}),
    ]
}
