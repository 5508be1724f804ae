{{ in nil "a" }}
