//! Tokens → tree.
//!
//! Invariant: blocks and parentheses nest at most [`MAX_DEPTH`] deep, so that recursion over a tree is safe.

use crate::error::Fault;
use crate::funcs;
use crate::lex::{self, Kind, Token};
use crate::number;
use crate::quote;
use crate::tree::{Branch, Command, Node, Operand, Pipe, Term, Tree};
use crate::value::Value;

/// How deeply blocks and parentheses may nest.
const MAX_DEPTH: usize = 64;

/// Where, and what is wrong.
type Failure = (usize, Fault);

/// Reads a whole text. Empty delimiters are `{{` and `}}`.
pub(crate) fn parse(text: &str, left: &str, right: &str) -> Result<Tree, Failure> {
    let left = if left.is_empty() { "{{" } else { left };
    let right = if right.is_empty() { "}}" } else { right };
    let mut parser = Parser {
        tokens: lex::lex(text, left, right)?,
        at: 0,
        variables: vec![String::new()],
        ranges: 0,
        depth: 0,
        tree: Tree::default(),
    };
    let (main, end) = parser.list(true)?;
    if end.kind != Kind::End {
        let what = format!("there is nothing that this `{}` belongs to", end.text);
        return Err((end.at, what.into()));
    }
    parser.tree.main = main;
    Ok(parser.tree)
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    /// Those in scope, without the dollar; the first is `$`.
    variables: Vec<String>,
    /// How many `range` are open, for `break` and `continue`.
    ranges: usize,
    depth: usize,
    tree: Tree,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.ahead(0)
    }

    fn ahead(&self, count: usize) -> Token<'a> {
        let end = Token {
            kind: Kind::End,
            text: "",
            at: self.tokens.last().map_or(0, |token| token.at),
        };
        self.tokens.get(self.at + count).copied().unwrap_or(end)
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn skip_space(&mut self) {
        while self.peek().kind == Kind::Space {
            self.at += 1;
        }
    }

    fn next_solid(&mut self) -> Token<'a> {
        self.skip_space();
        self.next()
    }

    fn deeper(&mut self, at: usize) -> Result<(), Failure> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err((at, format!("nests more than {MAX_DEPTH} deep").into()));
        }
        Ok(())
    }

    /// Nodes up to an `end` or `else`, which is given, or the end of the text.
    fn list(&mut self, top: bool) -> Result<(Vec<Node>, Token<'a>), Failure> {
        let mut nodes = Vec::new();
        loop {
            let token = self.next();
            match token.kind {
                Kind::Text => nodes.push(Node::Text(token.text.into())),
                Kind::End => return Ok((nodes, token)),
                _ => {
                    self.skip_space();
                    let word = self.peek();
                    if word.kind == Kind::Keyword {
                        match word.text {
                            "end" | "else" => {
                                self.at += 1;
                                return Ok((nodes, word));
                            }
                            "define" if top => {
                                self.at += 1;
                                self.define()?;
                                continue;
                            }
                            _ => {}
                        }
                    }
                    nodes.push(self.action()?);
                }
            }
        }
    }

    fn action(&mut self) -> Result<Node, Failure> {
        let word = self.peek();
        if word.kind != Kind::Keyword {
            let pipe = self.pipe("an action", Kind::Close)?;
            return Ok(Node::Action(pipe));
        }
        self.at += 1;
        match word.text {
            "if" => Ok(Node::If(Box::new(self.branch("if")?))),
            "with" => Ok(Node::With(Box::new(self.branch("with")?))),
            "range" => Ok(Node::Range(Box::new(self.branch("range")?))),
            "template" => self.template(word.at),
            "block" => self.block(word.at),
            "break" | "continue" => {
                self.close(word.text)?;
                if self.ranges == 0 {
                    return Err((
                        word.at,
                        format!("`{}` outside of a `range`", word.text).into(),
                    ));
                }
                Ok(if word.text == "break" {
                    Node::Break
                } else {
                    Node::Continue
                })
            }
            other => Err((word.at, format!("`{other}` cannot be here").into())),
        }
    }

    fn close(&mut self, context: &str) -> Result<(), Failure> {
        let token = self.next_solid();
        if token.kind != Kind::Close {
            return Err(unexpected(token, context));
        }
        Ok(())
    }

    fn branch(&mut self, keyword: &'static str) -> Result<Branch, Failure> {
        let scope = self.variables.len();
        self.deeper(self.peek().at)?;
        let pipe = self.pipe(keyword, Kind::Close)?;
        let is_range = keyword == "range";
        self.ranges += usize::from(is_range);
        let (then, mut end) = self.list(false)?;
        self.ranges -= usize::from(is_range);
        let mut otherwise = Vec::new();
        if end.text == "else" && end.kind == Kind::Keyword {
            self.skip_space();
            let chained = self.peek();
            if chained.kind == Kind::Keyword && chained.text == keyword && !is_range {
                // `else if` is an `if` in the `else`, with the same `end`.
                self.at += 1;
                let inner = Box::new(self.branch(keyword)?);
                otherwise.push(if keyword == "if" {
                    Node::If(inner)
                } else {
                    Node::With(inner)
                });
                self.variables.truncate(scope);
                self.depth -= 1;
                return Ok(Branch {
                    pipe,
                    then,
                    otherwise,
                });
            }
            self.close("else")?;
            (otherwise, end) = self.list(false)?;
        }
        self.finish(end)?;
        self.variables.truncate(scope);
        self.depth -= 1;
        Ok(Branch {
            pipe,
            then,
            otherwise,
        })
    }

    /// The rest of an `end`.
    fn finish(&mut self, end: Token<'a>) -> Result<(), Failure> {
        match (end.kind, end.text) {
            (Kind::Keyword, "end") => self.close("end"),
            (Kind::End, _) => Err((end.at, "an `end` is missing".into())),
            _ => Err((end.at, "expected `end`".into())),
        }
    }

    fn string(&mut self, context: &str) -> Result<(usize, String), Failure> {
        let token = self.next_solid();
        let text = match token.kind {
            Kind::Quoted => quote::unquote(token.text),
            Kind::Raw => Some(raw(token.text).as_bytes().to_vec()),
            _ => return Err(unexpected(token, context)),
        };
        let text = text.ok_or((token.at, Fault::from("there is no such escape")))?;
        Ok((token.at, String::from_utf8_lossy(&text).into_owned()))
    }

    fn template(&mut self, at: usize) -> Result<Node, Failure> {
        let (name_at, name) = self.string("template")?;
        let argument = self.argument()?;
        let at = at.max(name_at);
        Ok(Node::Template { at, name, argument })
    }

    fn argument(&mut self) -> Result<Option<Pipe>, Failure> {
        self.skip_space();
        if self.peek().kind == Kind::Close {
            self.at += 1;
            return Ok(None);
        }
        self.pipe("template", Kind::Close).map(Some)
    }

    fn define(&mut self) -> Result<(), Failure> {
        let (at, name) = self.string("define")?;
        self.close("define")?;
        self.body(at, name)
    }

    fn block(&mut self, at: usize) -> Result<Node, Failure> {
        let (name_at, name) = self.string("block")?;
        let argument = Some(self.pipe("block", Kind::Close)?);
        self.body(name_at, name.clone())?;
        Ok(Node::Template { at, name, argument })
    }

    /// What a `define` or `block` defines: a template of its own, with its own variables.
    fn body(&mut self, at: usize, name: String) -> Result<(), Failure> {
        self.deeper(at)?;
        let variables = std::mem::replace(&mut self.variables, vec![String::new()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (nodes, end) = self.list(false)?;
        self.finish(end)?;
        self.variables = variables;
        self.ranges = ranges;
        self.depth -= 1;
        let is_empty = |nodes: &[Node]| {
            nodes
                .iter()
                .all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
        };
        match self.tree.defined.get(&name) {
            Some(first) if !is_empty(first) => {
                if !is_empty(&nodes) {
                    return Err((at, format!("`{name}` is defined twice").into()));
                }
            }
            _ => {
                self.tree.defined.insert(name, nodes);
            }
        }
        Ok(())
    }

    fn pipe(&mut self, context: &str, end: Kind) -> Result<Pipe, Failure> {
        self.skip_space();
        let mut pipe = Pipe {
            at: self.peek().at,
            variables: Vec::new(),
            assigns: false,
            commands: Vec::new(),
        };
        self.declarations(context, &mut pipe)?;
        loop {
            let token = self.next_solid();
            match token.kind {
                _ if token.kind == end => break,
                Kind::Bool
                | Kind::Character
                | Kind::Dot
                | Kind::Field
                | Kind::Name
                | Kind::Number
                | Kind::Nil
                | Kind::Raw
                | Kind::Quoted
                | Kind::Variable
                | Kind::Left => {
                    self.at -= 1;
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return Err(unexpected(token, context)),
            }
        }
        if pipe.commands.is_empty() {
            return Err((pipe.at, format!("{context} needs a value").into()));
        }
        for command in pipe.commands.iter().skip(1) {
            if matches!(
                command.head.term,
                Term::Literal(_) | Term::Number(_) | Term::Nil | Term::Dot
            ) {
                let what = "what follows `|` has to be a function";
                return Err((command.at, what.into()));
            }
        }
        Ok(pipe)
    }

    fn declarations(&mut self, context: &str, pipe: &mut Pipe) -> Result<(), Failure> {
        loop {
            let variable = self.peek();
            if variable.kind != Kind::Variable {
                return Ok(());
            }
            let blanks = usize::from(self.ahead(1).kind == Kind::Space);
            let next = self.ahead(1 + blanks);
            let name = variable.text.get(1..).unwrap_or_default().to_owned();
            match next.kind {
                Kind::Declare | Kind::Assign => {
                    self.at += 2 + blanks;
                    pipe.assigns = next.kind == Kind::Assign;
                    pipe.variables.push(name);
                    for name in &pipe.variables {
                        if pipe.assigns {
                            self.known(name, variable.at)?;
                        }
                    }
                    // In scope from here on, its own value included, as in Go.
                    self.variables.extend(pipe.variables.iter().cloned());
                    return Ok(());
                }
                Kind::Comma => {
                    self.at += 2 + blanks;
                    pipe.variables.push(name);
                    if context != "range" || pipe.variables.len() > 1 {
                        return Err((variable.at, "too many variables".into()));
                    }
                    self.skip_space();
                    if self.peek().kind != Kind::Variable {
                        return Err(unexpected(self.peek(), "the variables of a range"));
                    }
                }
                _ if pipe.variables.is_empty() => return Ok(()),
                _ => return Err(unexpected(next, "the variables of a range")),
            }
        }
    }

    fn command(&mut self) -> Result<Command, Failure> {
        let at = self.peek().at;
        let mut operands = Vec::new();
        loop {
            self.skip_space();
            if let Some(operand) = self.operand()? {
                operands.push(operand);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => {}
                Kind::Close | Kind::Right => {
                    self.at -= 1;
                    break;
                }
                Kind::Pipe => break,
                _ => return Err(unexpected(token, "a command")),
            }
        }
        let mut operands = operands.into_iter();
        let Some(head) = operands.next() else {
            return Err((at, "the command is empty".into()));
        };
        Ok(Command {
            at,
            head,
            arguments: operands.collect(),
        })
    }

    fn operand(&mut self) -> Result<Option<Operand>, Failure> {
        let Some(mut operand) = self.term()? else {
            return Ok(None);
        };
        let mut fields = Vec::new();
        let at = self.peek().at;
        while self.peek().kind == Kind::Field {
            let field = self.next().text;
            fields.push(field.get(1..).unwrap_or_default().to_owned());
        }
        if fields.is_empty() {
            return Ok(Some(operand));
        }
        match &mut operand.term {
            Term::Field(names) | Term::Variable(_, names) => names.append(&mut fields),
            Term::Nil | Term::Dot | Term::Literal(_) | Term::Number(_) => {
                return Err((at, "a field of something that has none".into()));
            }
            _ => {
                let at = operand.at;
                let term = Term::Chain(Box::new(operand), fields);
                operand = Operand { at, term };
            }
        }
        Ok(Some(operand))
    }

    fn term(&mut self) -> Result<Option<Operand>, Failure> {
        let token = self.peek();
        let at = token.at;
        let term = match token.kind {
            Kind::Nil => Term::Nil,
            Kind::Dot => Term::Dot,
            Kind::Bool => Term::Literal(Value::Bool(token.text == "true")),
            Kind::Field => Term::Field(vec![token.text.get(1..).unwrap_or_default().to_owned()]),
            Kind::Variable => {
                let name = token.text.get(1..).unwrap_or_default();
                self.known(name, at)?;
                Term::Variable(name.to_owned(), Vec::new())
            }
            Kind::Name => Term::Function(funcs::find(token.text).map_err(|fault| (at, fault))?),
            Kind::Number => {
                let constant = number::parse(token.text);
                Term::Number(constant.ok_or((at, "this number is out of range".into()))?)
            }
            Kind::Character => {
                let code = quote::unquote_character(token.text);
                let code = code.ok_or((at, "this is not one character".into()))?;
                Term::Number(number::Constant {
                    integer: Some(i64::from(code)),
                    unsigned: Some(u64::from(code)),
                    float: Some(f64::from(code)),
                    whole: true,
                })
            }
            Kind::Quoted => {
                let text = quote::unquote(token.text);
                let text = text.ok_or((at, "there is no such escape".into()))?;
                Term::Literal(Value::text(text))
            }
            Kind::Raw => Term::Literal(Value::text(raw(token.text))),
            Kind::Left => {
                self.at += 1;
                self.deeper(at)?;
                let pipe = self.pipe("parentheses", Kind::Right)?;
                self.depth -= 1;
                let term = Term::Pipe(Box::new(pipe));
                return Ok(Some(Operand { at, term }));
            }
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(Operand { at, term }))
    }

    fn known(&self, name: &str, at: usize) -> Result<(), Failure> {
        if self.variables.iter().any(|known| known == name) {
            return Ok(());
        }
        Err((at, format!("there is no variable `${name}`").into()))
    }
}

/// A raw string without its quotes and, as in Go, without carriage returns: those Go keeps in templates.
fn raw(text: &str) -> &str {
    text.get(1..text.len().saturating_sub(1))
        .unwrap_or_default()
}

fn unexpected(token: Token<'_>, context: &str) -> Failure {
    let what = match token.kind {
        Kind::End => format!("the text ends within {context}"),
        Kind::Close => format!("{context} is not complete"),
        // What is quoted may be someone's secret.
        Kind::Quoted | Kind::Raw | Kind::Character => {
            format!("a string cannot be here in {context}")
        }
        _ => format!("`{}` cannot be here in {context}", token.text),
    };
    (token.at, what.into())
}
