{{/* multi
