"""How notices leave: each module fills the port `domain.notices.Sender` for one kind of destination."""
