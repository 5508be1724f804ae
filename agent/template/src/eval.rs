//! Running a tree.
//!
//! Invariant: every action, iteration and nesting is counted against [`Limits`]. Invariant: after a dependency was found
//! missing, whatever else goes wrong means nothing, because the value that it went wrong over is still to come.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::dependency::{Dependency, Sources};
use crate::error::Fault;
use crate::format::{self, Writer};
use crate::secret;
use crate::tree::{Branch, Command, Node, Operand, Pipe, Term, Tree};
use crate::value::{Entries, Value};
use crate::{Limits, call};

/// Where, and what is wrong.
pub(crate) type Failure = (usize, Fault);

/// How a list of nodes ended.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

/// One rendering.
pub(crate) struct Run<'a> {
    tree: &'a Tree,
    pub(crate) sources: &'a dyn Sources,
    limits: Limits,
    strict: bool,
    output: Vec<u8>,
    /// Those in scope, innermost last.
    variables: Vec<(&'a str, Value)>,
    /// Where the running template's own variables begin.
    frame: usize,
    missing: Vec<Dependency>,
    fetched: BTreeMap<Dependency, Value>,
    pub(crate) scratch: Entries,
    steps: usize,
    bytes: usize,
    depth: usize,
    /// How deep all that was hung into maps is.
    hung: usize,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        tree: &'a Tree,
        sources: &'a dyn Sources,
        limits: Limits,
        strict: bool,
    ) -> Self {
        Self {
            tree,
            sources,
            limits,
            strict,
            output: Vec::new(),
            variables: Vec::new(),
            frame: 0,
            missing: Vec::new(),
            fetched: BTreeMap::new(),
            scratch: Entries::new(),
            steps: 0,
            bytes: 0,
            depth: 0,
            hung: 0,
        }
    }

    pub(crate) fn main(&mut self) -> Result<Vec<u8>, Failure> {
        self.template(&self.tree.main, Value::Nil, 0)?;
        Ok(std::mem::take(&mut self.output))
    }

    pub(crate) fn missing(&mut self) -> Vec<Dependency> {
        std::mem::take(&mut self.missing)
    }

    /// What a dependency gives; nil while it is missing.
    pub(crate) fn fetch(&mut self, dependency: Dependency) -> Result<Value, Fault> {
        if let Some(value) = self.fetched.get(&dependency) {
            return Ok(value.clone());
        }
        let Some(answer) = self.sources.fetch(&dependency) else {
            if !self.missing.contains(&dependency) {
                self.missing.push(dependency);
            }
            return Ok(Value::Nil);
        };
        let value = secret::read(&dependency, &answer)?;
        self.fetched.insert(dependency, value.clone());
        Ok(value)
    }

    /// Counts work.
    pub(crate) fn step(&mut self, count: usize) -> Result<(), Fault> {
        self.steps = self.steps.saturating_add(count);
        if self.steps > self.limits.steps {
            return Err("the template takes more steps than the limit".into());
        }
        Ok(())
    }

    /// Counts bytes that a function is about to make.
    pub(crate) fn charge(&mut self, count: usize) -> Result<(), Fault> {
        self.bytes = self.bytes.saturating_add(count);
        if self.bytes > self.limits.bytes {
            return Err(format::TOO_LONG.into());
        }
        Ok(())
    }

    /// How many bytes functions may still make.
    pub(crate) fn room(&self) -> usize {
        self.limits.bytes.saturating_sub(self.bytes)
    }

    /// Counts what is hung into a map that exists already, as [`crate::value`] asks for.
    pub(crate) fn hang(&mut self, value: &Value) -> Result<(), Fault> {
        self.hung += value.depth();
        if self.hung > 1_000 {
            return Err("too much is set in maps".into());
        }
        Ok(())
    }

    fn deeper(&mut self, at: usize) -> Result<(), Failure> {
        self.depth += 1;
        if self.depth > self.limits.depth {
            return Err((at, "the template nests too deep".into()));
        }
        Ok(())
    }

    /// A defined template's output as text.
    pub(crate) fn execute(&mut self, name: &str, dot: Value) -> Result<Vec<u8>, Fault> {
        let tree = self.tree;
        let Some(nodes) = tree.defined.get(name) else {
            return Err("there is no template of this name".into());
        };
        let output = std::mem::take(&mut self.output);
        // The place of what goes wrong inside is more than the caller's, but it has to be told with the caller's text.
        let result = self.template(nodes, dot, 0).map_err(|(_, fault)| fault);
        let text = std::mem::replace(&mut self.output, output);
        result.map(|()| text)
    }

    fn template(&mut self, nodes: &'a [Node], dot: Value, at: usize) -> Result<(), Failure> {
        let (frame, scope) = (self.frame, self.variables.len());
        self.frame = scope;
        self.variables.push(("", dot.clone()));
        let result = self.list(nodes, &dot, at);
        self.variables.truncate(scope);
        self.frame = frame;
        result.map(drop)
    }

    fn list(&mut self, nodes: &'a [Node], dot: &Value, at: usize) -> Result<Flow, Failure> {
        self.deeper(at)?;
        let mut flow = Flow::On;
        for node in nodes {
            flow = self.node(node, dot, at)?;
            if flow != Flow::On {
                break;
            }
        }
        self.depth -= 1;
        Ok(flow)
    }

    fn node(&mut self, node: &'a Node, dot: &Value, at: usize) -> Result<Flow, Failure> {
        self.step(1).map_err(|fault| (at, fault))?;
        match node {
            Node::Text(text) => {
                self.write(text.as_bytes()).map_err(|fault| (at, fault))?;
                Ok(Flow::On)
            }
            Node::Action(pipe) => {
                let value = self.pipe(pipe, dot)?;
                if pipe.variables.is_empty() {
                    self.print(&value).map_err(|fault| (pipe.at, fault))?;
                }
                Ok(Flow::On)
            }
            Node::If(branch) => self.branch(branch, dot, false),
            Node::With(branch) => self.branch(branch, dot, true),
            Node::Range(branch) => self.range(branch, dot),
            Node::Template { at, name, argument } => {
                let Some(nodes) = self.tree.defined.get(name) else {
                    return Err((*at, format!("there is no template `{name}`").into()));
                };
                let scope = self.variables.len();
                let dot = match argument {
                    Some(pipe) => self.pipe(pipe, dot)?,
                    None => Value::Nil,
                };
                self.template(nodes, dot, *at)?;
                self.variables.truncate(scope);
                Ok(Flow::On)
            }
            Node::Break => Ok(Flow::Break),
            Node::Continue => Ok(Flow::Continue),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if self.output.len() + bytes.len() > self.limits.output {
            return Err("the result is longer than the limit".into());
        }
        self.output.extend_from_slice(bytes);
        Ok(())
    }

    fn print(&mut self, value: &Value) -> Result<(), Fault> {
        let mut writer = Writer::new(self.limits.output.saturating_sub(self.output.len()));
        format::print_result(&mut writer, value)?;
        let text = writer.finish()?;
        self.write(&text)
    }

    fn branch(&mut self, branch: &'a Branch, dot: &Value, with: bool) -> Result<Flow, Failure> {
        let scope = self.variables.len();
        let at = branch.pipe.at;
        let value = self.pipe(&branch.pipe, dot)?;
        let flow = if !value.truth() {
            self.list(&branch.otherwise, dot, at)?
        } else if with {
            self.list(&branch.then, &value, at)?
        } else {
            self.list(&branch.then, dot, at)?
        };
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn range(&mut self, branch: &'a Branch, dot: &Value) -> Result<Flow, Failure> {
        let scope = self.variables.len();
        let at = branch.pipe.at;
        let over = self.commands(&branch.pipe, dot)?;
        let is_pair = branch.pipe.variables.len() > 1;
        let mut ran = false;
        let mut go = |run: &mut Self, index: &dyn Fn() -> Value, item: Value| {
            ran = true;
            run.iteration(branch, index, item)
        };
        match &over {
            Value::Nil | Value::Null => {}
            Value::List(list) => {
                for (index, item) in list.items.iter().enumerate() {
                    let index = || Value::Int(i64::try_from(index).unwrap_or(0));
                    if go(self, &index, null(item))? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                let entries = map.entries.borrow().clone();
                for (key, item) in &entries {
                    let key = || Value::Text(Rc::clone(key));
                    if go(self, &key, null(item))? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Counter(from, to) => {
                for (index, number) in (*from..*to).enumerate() {
                    let index = || Value::Int(i64::try_from(index).unwrap_or(0));
                    if go(self, &index, Value::Int64(number))? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Int(_) | Value::Int64(_) | Value::Uint(_) if !is_pair => {
                let (count, make): (i128, fn(i64) -> Value) = match over {
                    Value::Int(count) => (i128::from(count), Value::Int),
                    Value::Int64(count) => (i128::from(count), Value::Int64),
                    _ => (over.integer().unwrap_or(0), |number| {
                        Value::Uint(u64::try_from(number).unwrap_or(0))
                    }),
                };
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                for number in 0..count {
                    if go(self, &|| make(number), make(number))? == Flow::Break {
                        break;
                    }
                }
            }
            _ => {
                let what = format!("`range` cannot go over a {}", over.type_name());
                return Err((at, what.into()));
            }
        }
        if !ran {
            let flow = self.list(&branch.otherwise, dot, at)?;
            self.variables.truncate(scope);
            return Ok(flow);
        }
        self.variables.truncate(scope);
        Ok(Flow::On)
    }

    fn iteration(
        &mut self,
        branch: &'a Branch,
        index: &dyn Fn() -> Value,
        item: Value,
    ) -> Result<Flow, Failure> {
        let at = branch.pipe.at;
        self.step(1).map_err(|fault| (at, fault))?;
        let scope = self.variables.len();
        let pipe = &branch.pipe;
        match pipe.variables.as_slice() {
            [] => {}
            [value] => self.bind(pipe, value, item.clone())?,
            [key, value, ..] => {
                self.bind(pipe, key, index())?;
                self.bind(pipe, value, item.clone())?;
            }
        }
        let flow = self.list(&branch.then, &item, at)?;
        self.variables.truncate(scope);
        Ok(flow)
    }

    /// Declares a variable or sets it.
    fn bind(&mut self, pipe: &'a Pipe, name: &'a str, value: Value) -> Result<(), Failure> {
        if !pipe.assigns {
            self.variables.push((name, value));
            return Ok(());
        }
        let scope = self.variables.get_mut(self.frame..).unwrap_or_default();
        match scope.iter_mut().rev().find(|(known, _)| *known == name) {
            Some(variable) => {
                variable.1 = value;
                Ok(())
            }
            None => Err(unknown(name, pipe.at)),
        }
    }

    fn variable(&self, name: &str, at: usize) -> Result<Value, Failure> {
        let scope = self.variables.get(self.frame..).unwrap_or_default();
        let found = scope.iter().rev().find(|(known, _)| *known == name);
        found
            .map(|variable| variable.1.clone())
            .ok_or_else(|| unknown(name, at))
    }

    fn pipe(&mut self, pipe: &'a Pipe, dot: &Value) -> Result<Value, Failure> {
        let value = self.commands(pipe, dot)?;
        if let Some(name) = pipe.variables.first() {
            self.bind(pipe, name, value.clone())?;
        }
        Ok(value)
    }

    fn commands(&mut self, pipe: &'a Pipe, dot: &Value) -> Result<Value, Failure> {
        self.deeper(pipe.at)?;
        let mut last = None;
        for command in &pipe.commands {
            last = Some(self.command(command, dot, last.take())?.settled());
        }
        self.depth -= 1;
        Ok(last.unwrap_or(Value::Nil))
    }

    fn command(
        &mut self,
        command: &'a Command,
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value, Failure> {
        let arguments = &command.arguments;
        let (receiver, names) = match &command.head.term {
            Term::Function(function) => {
                return call::call(self, function, command.at, arguments, dot, last);
            }
            Term::Field(names) => (dot.clone(), names),
            Term::Variable(name, names) if !names.is_empty() => {
                (self.variable(name, command.head.at)?, names)
            }
            Term::Chain(inner, names) => (self.operand(inner, dot)?, names),
            Term::Nil => return Err((command.head.at, "nil is no command".into())),
            _ => {
                if !arguments.is_empty() || last.is_some() {
                    let what = "what is no function takes no arguments";
                    return Err((command.head.at, what.into()));
                }
                return self.operand(&command.head, dot);
            }
        };
        call::fields(self, receiver, names, command, dot, last)
    }

    /// A value by itself: without arguments, of whatever type.
    pub(crate) fn operand(&mut self, operand: &'a Operand, dot: &Value) -> Result<Value, Failure> {
        let at = operand.at;
        match &operand.term {
            Term::Nil => Ok(Value::Nil),
            Term::Dot => Ok(dot.clone()),
            Term::Literal(value) => Ok(value.clone()),
            Term::Number(constant) => match (constant.whole, constant.integer, constant.float) {
                (true, Some(integer), _) => Ok(Value::Int(integer)),
                (false, _, Some(float)) => Ok(Value::Float(float)),
                _ => Err((at, "the number does not fit an int".into())),
            },
            Term::Field(names) => self.walk(dot.clone(), names, at),
            Term::Variable(name, names) => {
                let value = self.variable(name, at)?;
                self.walk(value, names, at)
            }
            Term::Chain(inner, names) => {
                let value = self.operand(inner, dot)?;
                self.walk(value, names, at)
            }
            Term::Function(function) => call::call(self, function, at, &[], dot, None),
            Term::Pipe(pipe) => {
                let scope = self.variables.len();
                let value = self.pipe(pipe, dot);
                self.variables.truncate(scope);
                value
            }
        }
    }

    fn walk(&mut self, receiver: Value, names: &'a [String], at: usize) -> Result<Value, Failure> {
        call::walk(self, receiver, names, &[]).map_err(|fault| (at, fault))
    }

    /// What a map's key that is not there gives.
    pub(crate) fn absent(&self, nothing: Value) -> Result<Value, Fault> {
        if self.strict {
            // The key may be made from a secret.
            return Err("the map has no such key".into());
        }
        Ok(nothing)
    }
}

/// What a range finds: a null keeps that it was one.
fn null(item: &Value) -> Value {
    if matches!(item, Value::Nil) {
        Value::Null
    } else {
        item.clone()
    }
}

fn unknown(name: &str, at: usize) -> Failure {
    (at, format!("there is no variable `${name}` here").into())
}
