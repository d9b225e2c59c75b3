//! The blocks of code in a page.

use distflow_tests::project_folder;

/// A block of code.
pub struct Block {
    /// The page it is on.
    pub page: String,
    /// The line of the page on which it begins.
    pub line: usize,
    /// What it says it is, such as `c`.
    pub language: String,
    /// What is in it.
    pub text: String,
}

impl Block {
    /// The file its first line names in a comment, if it does.
    pub fn file(&self) -> Option<&str> {
        let first = self.text.lines().next()?;
        let name = first
            .trim_start_matches(['/', '*', '#', ' '])
            .trim_end_matches(['/', '*', ' ']);
        (first != name && name.contains('.') && !name.contains(' ')).then_some(name)
    }
}

/// All blocks of a page, in order.
pub fn blocks(page: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(project_folder().join(page)).unwrap();
    let mut blocks = Vec::new();
    let mut current: Option<Block> = None;
    for (index, line) in text.lines().enumerate() {
        match (&mut current, line.strip_prefix("```")) {
            (None, Some(language)) => {
                current = Some(Block {
                    page: page.to_owned(),
                    line: index + 1,
                    language: language.to_owned(),
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(current.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(current.is_none(), "a block of {page} has no end");
    blocks
}
