//! A place in an Envoy configuration: what stands there, and the path that leads there.

use serde_json::Value;

/// The place. Where nothing stands, the value is null.
#[derive(Clone)]
pub struct Node<'v> {
    pub value: &'v Value,
    pub path: String,
}

static NOTHING: Value = Value::Null;

impl<'v> Node<'v> {
    /// The whole configuration.
    pub fn root(value: &'v Value) -> Node<'v> {
        Node { value, path: String::new() }
    }

    /// The member of this name; the names of several, one in the other, with dots between.
    pub fn at(&self, names: &str) -> Node<'v> {
        names.split('.').fold(self.clone(), |node, name| node.member(name))
    }

    fn member(&self, name: &str) -> Node<'v> {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Node { value: self.value.get(name).unwrap_or(&NOTHING), path }
    }

    /// The items of a list.
    pub fn items(&self) -> Vec<Node<'v>> {
        let items = self.value.as_array().into_iter().flatten();
        items.enumerate().map(|(i, value)| Node { value, path: format!("{}[{i}]", self.path) }).collect()
    }

    /// The members of an object, with their names.
    pub fn members(&self) -> Vec<(&'v str, Node<'v>)> {
        let members = self.value.as_object().into_iter().flatten();
        members.map(|(name, _)| (name.as_str(), self.member(name))).collect()
    }

    /// This place and every one inside it.
    pub fn all(&self) -> Vec<Node<'v>> {
        let inside = self.items().into_iter().chain(self.members().into_iter().map(|(_, node)| node));
        [self.clone()].into_iter().chain(inside.flat_map(|node| node.all())).collect()
    }

    /// Whether something stands here.
    pub fn is_there(&self) -> bool {
        !self.value.is_null()
    }

    /// The text, or an empty one.
    pub fn text(&self) -> &'v str {
        self.value.as_str().unwrap_or_default()
    }

    /// The name of the thing.
    pub fn name(&self) -> &'v str {
        self.value.get("name").and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether this is an extension of such a type.
    pub fn is_a(&self, kind: &str) -> bool {
        let typed = self.value.pointer("/typed_config/@type").and_then(Value::as_str).unwrap_or_default();
        typed.rsplit('.').next() == Some(kind)
    }

    /// Seconds, from a duration as Envoy writes it.
    pub fn seconds(&self) -> Option<f64> {
        self.text().strip_suffix('s')?.parse().ok()
    }
}
